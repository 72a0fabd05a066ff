"""What other people's code may come to depend on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import mfserve
from mfserve import AsyncClient, AsyncTrainingJob, Client, TrainingJob, errors, types


def public(owner: type) -> dict[str, inspect.Signature]:
    found: dict[str, inspect.Signature] = {}
    for name, member in inspect.getmembers(owner):
        if not name.startswith("_"):
            function: Any = member.fget if isinstance(member, property) else member
            assert function.__doc__, f"{name} is not documented"
            found[name] = inspect.signature(function)
    return found


def test_exported_names() -> None:
    assert mfserve.__all__ == [
        "Als",
        "AsyncClient",
        "AsyncTrainingJob",
        "AutoRating",
        "Bayes",
        "Client",
        "Credentials",
        "Head",
        "Ials",
        "Index",
        "Keras",
        "KeyedHash",
        "MfserveError",
        "NoRanking",
        "NoRating",
        "NoSplit",
        "PromotionGates",
        "RandomSplit",
        "TrainingJob",
        "Tuning",
        "__version__",
        "errors",
        "types",
    ]
    assert sorted(public(Client)) == [
        "address",
        "alias_at",
        "batch_predict_ratings",
        "cancel_job",
        "close",
        "compare_versions",
        "delete_alias",
        "delete_model",
        "delete_version",
        "get_artifact",
        "get_embeddings",
        "get_job",
        "get_model",
        "get_version",
        "list_alias_events",
        "list_jobs",
        "list_models",
        "list_versions",
        "predict_rating",
        "promote",
        "ready",
        "recommend",
        "rollback_alias",
        "serving_status",
        "set_alias",
        "similar_items",
        "stream_recommend",
        "train",
        "upload_dataset",
        "wait_ready",
        "watch_job",
    ]
    assert sorted(public(TrainingJob)) == [
        "cancel",
        "info",
        "job_id",
        "model",
        "refresh",
        "result",
        "state",
        "version",
        "watch",
    ]


@pytest.mark.parametrize("module", [mfserve, errors, types])
def test_every_exported_name_is_there(module: Any) -> None:
    names: list[str] = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(module, name).__doc__ or name == "__version__"
    assert set(names) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Cilent"):
        mfserve.Cilent  # noqa: B018 - that is what is tested


@pytest.mark.parametrize(("sync", "asynchronous"), [(Client, AsyncClient), (TrainingJob, AsyncTrainingJob)])
def test_the_twins_have_the_same_methods(sync: type, asynchronous: type) -> None:
    ours, theirs = public(sync), public(asynchronous)
    assert ours.keys() == theirs.keys()
    for name, signature in ours.items():
        # Users may come from an asynchronous iterator too; answers are of the async kind.
        names = {n: str(p).replace(" | AsyncIterable[str]", "") for n, p in theirs[name].parameters.items()}
        assert {n: str(p) for n, p in signature.parameters.items()} == names, name
        returned = str(theirs[name].return_annotation)
        assert str(signature.return_annotation) == returned.replace("AsyncGenerator", "Iterator").replace(
            "Async", ""
        )
        member, twin = getattr(sync, name), getattr(asynchronous, name)
        assert member.__doc__ == twin.__doc__, name


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import mfserve", ["grpc", "google.protobuf", "numpy", "tensorflow", "pandas", "pyarrow"]),
        (
            "from mfserve import *",
            ["numpy", "tensorflow", "pandas", "pyarrow", "google.rpc", "mfserve_registry"],
        ),
    ],
)
def test_what_an_import_does_not_load(statement: str, absent: list[str]) -> None:
    program = f"{statement}\nimport sys\nprint([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
