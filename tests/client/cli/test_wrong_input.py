"""Wrong input gets one clear line on standard error, an exit code that means something, and no traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mfserve.cli._fields import OPTIONS, as_typed
from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry.setting_faults import ALL_SETTINGS
from tests.client.cli.conftest import Finished, Run
from tests.client.cli.reference import commands


def refused(finished: Finished, code: int, says: str) -> None:
    assert (finished.code, finished.out) == (code, "")
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1
    assert says in finished.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recommend", "nothing", "1"], "nothing"),
        (["recommend", "movies", "1", "--version", "99"], "99"),
        (["recommend", "movies", "1", "--alias", "candidates"], "candidates"),
        (["similar", "movies", "no-such-item"], "item"),
        (["versions", "nothing"], "nothing"),
        (["versions", "movies", "1", "--artifact", "no.svg"], "artifact"),
        (["alias", "movies", "nobody", "--delete"], "nobody"),
        (["rollback", "movies"], "nothing else before"),
        (["rollback", "movies", "nobody"], "nobody"),
        (["alias-history", "movies", "nobody"], "nobody"),
        (["delete-version", "movies", "1"], "--yes"),
        (["delete-version", "movies", "1", "--yes"], "production"),
        (["delete-version", "movies", "99", "--yes"], "99"),
        (["delete-model", "movies"], "--yes"),
        (["delete-model", "movies", "--yes"], "production"),
        (["jobs", "no-such-job"], "job"),
        (["embeddings", "movies", "--output", "/no/such/folder/x.npz"], "cannot write"),
        (["train", "movies", "/etc/passwd"], "--data-roots"),
        (["compare", "movies", "1", "nobody"], "`mfserve alias MODEL` lists the aliases."),
        (["alias", "movies", "candidate", "99"], "99"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(run: Run, arguments: list[str], says: str) -> None:
    refused(run(*arguments), 1, says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recommend", "movies"], "either USER or --history"),
        (["recommend", "movies", ""], "user_id"),
        (["recommend", "movies", "--history", "i0"], "history.ratings[0].rating"),
        (["train", "movies", "no-such-data-set"], "movielens-100k"),
        (["train", "movies", "ratings"], "by --format"),
        (["train", "Movies!", "movielens-100k"], "model"),
        (["train", "movies", "movielens-100k", "--engine", "none", "--ranking", "none"], "nothing to train"),
        (["train", "movies", "movielens-100k", "--engine", "als", "--factors", "0"], "--factors: "),
        (["train", "movies", "movielens-100k", "--scale", "5:1"], "minimum 5 must be below maximum 1"),
        (["train", "movies", "movielens-100k", "--scale", "nan:5"], "--scale: "),
        (["train", "movies", "movielens-100k", "--index-recall", "1"], "--index-recall: "),
        (["tune", "movies", "movielens-100k", "--trials", "0"], "--trials: "),
        (["tune", "movies", "movielens-100k", "--ranking", "none", "--head", "ranking"], "none is trained"),
        (["recommend", "movies", "--history", "i0=99"], "history.ratings[0].rating"),
        (["recommend", "movies", "1", "--history", "2=3"], "either USER or --history"),
        (["recommend", "movies", "1", "--version", "1", "--alias", "production"], "not both"),
        (["versions", "movies", "--output", "x"], "--artifact"),
        (["alias", "movies", "candidate"], "MODEL ALIAS VERSION"),
        (["jobs", "--wait"], "need the id"),
        (["jobs", "x", "--wait", "--cancel"], "not both"),
        (["jobs", "--state", "asleep"], "asleep"),
        (["embeddings", "movies", "--output", "x.csv"], ".npz or .parquet"),
        (["train", "movies", "movielens-100k", "--epochs", "3"], "--engine auto has no epochs"),
        (["train", "movies", "movielens-100k", "--engine", "als", "--l2", "3"], "--engine als has no l2"),
        (["train", "movies", "movielens-100k", "--implicit", "--engine", "bayes"], "--engine bayes: "),
        (["train", "movies", "x.csv", "--implicit", "--scale", "1:5"], "--implicit reads no ratings"),
        (["train", "movies", "x.csv", "--implicit", "--rating-column", "r"], "--implicit reads no ratings"),
        (
            ["train", "movies", "movielens-100k", "--engine", "keras", "--iterations", "3"],
            "has no iterations",
        ),
        (
            ["train", "movies", "movielens-100k", "--ranking", "none", "--ranking-factors", "3"],
            "--ranking none",
        ),
        (["train", "movies", "movielens-100k", "--holdout", "2"], "--holdout: "),
        (
            ["train", "movies", "movielens-100k", "--holdout", "nan"],
            "--holdout: It must be a number, not NaN.",
        ),
        (["train", "movies", "movielens-100k", "--split", "none", "--holdout", "0.1"], "--split none"),
        (["train", "movies", "movielens-100k", "--scale", "five"], "LOWEST:HIGHEST"),
        (["train", "movies", "movielens-100k", "--request-id", ""], "safe to repeat"),
        (["train", "movies", "movielens-100k", "--user-column", "u"], "built-in data set"),
        (["train", "movies", "movielens-100k", "--split", "random", "--split-key", "k"], "--split random"),
        (["train", "movies", "movielens-100k", "--split-seed", "1"], "--split keyed-hash"),
        (
            ["train", "m", "movielens-100k", "--engine", "keras", "--validation-fraction", "0.3"],
            "--early-stopping",
        ),
        (["train", "movies", "movielens-100k", "--index-clusters", "9"], "--index-recall"),
        (["tune", "movies", "movielens-100k", "--epochs", "3"], "--engine auto has no epochs"),
        (["recommend", "movies", "--history", "i0=many"], "ITEM=RATING"),
        (["recommend", "movies", "--history", "=3"], "ITEM=RATING"),
        (["alias", "movies", "latest", "1"], "always names the highest version"),
        (["train", "movies", "movielens-100k", "--promote-to", "latest"], "always names the highest version"),
        (
            ["alias", "movies", "candidate", "1", "--delete"],
            "--delete takes the alias away: leave out VERSION",
        ),
        (["alias", "movies", "candidate", "--delete", "--split", "2=1"], "leave out VERSION, --split"),
        (["alias", "movies", "candidate", "1", "--split", "2=1"], "--split names all versions"),
        (["alias", "movies", "candidate", "--shadow", "2=0.1"], "give VERSION or --split too"),
        (["alias", "movies", "candidate", "--split", "2"], "VERSION=WEIGHT"),
        (["alias", "movies", "candidate", "--split", "2=1", "--split", "2=3"], "named twice"),
        (["alias", "movies", "candidate", "1", "--shadow", "2"], "VERSION=SHARE"),
        (
            ["alias", "movies", "candidate", "--delete", "--shadow", "2=0.5"],
            "leave out VERSION, --split and --shadow",
        ),
        (["alias", "movies", "--delete"], "go with a change"),
        (["compare", "movies", "1", "1"], "1: version 1 cannot be compared with itself"),
        (
            ["compare", "movies", "1", "production"],
            "1 and production: version 1 cannot be compared with itself",
        ),
        (["compare", "movies", "1", "One!"], "alias"),
        (["alias-history", "movies", "--at", "noon"], "2026-05-01T12:00"),
        (["alias", "movies", "candidate", "--split", "2=0"], "--split 2=0: a weight is 1 to 1,000,000"),
        (["alias", "movies", "candidate", "--split", "2=" + "9" * 11], "a weight is 1 to 1,000,000"),
        (["alias", "movies", "candidate", "--split", "2=" + "9" * 5000], "VERSION=WEIGHT"),
        (["alias", "movies", "candidate", "1", "--shadow", "2=1.5"], "shadow.share"),
        (["alias", "movies", "--reason", "why"], "MODEL ALIAS VERSION"),
        (["alias", "movies", "--expected-revision", "1"], "MODEL ALIAS VERSION"),
        (["jobs", "x", "--model", "movies"], "--model, --state and --limit"),
        (["jobs", "x", "--state", "running"], "--model, --state and --limit"),
        (["jobs", "x", "--limit", "3"], "--model, --state and --limit"),
    ],
)
def test_what_is_wrong_in_itself_is_one_line_and_exit_code_2(
    run: Run, arguments: list[str], says: str
) -> None:
    refused(run(*arguments), 2, says)


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend"],
        ["recommend", "movies", "1", "--limit", "0"],
        ["recommend", "movies", "1", "--limit", "1001"],
        ["recommend", "movies", "1", "--ranking-head", "both"],
        ["compare", "movies", "1"],
        ["compare", "movies", "1", "2", "--sample", "1001"],
        ["train", "movies"],
        ["train", "movies", "movielens-100k", "--engine", "svd"],
        ["no-such-command"],
        ["--no-such-option"],
    ],
)
def test_what_cannot_be_read_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.code, finished.out) == (2, "")
    assert "Usage:" in finished.err
    assert "Value error" not in finished.err
    assert "Traceback" not in finished.err


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1:99999", "http://127.0.0.1:1"])
@pytest.mark.parametrize("command", [["models"], ["bench", "movies"]], ids=lambda command: command[0])
def test_a_wrong_address_is_wrong_usage_in_one_line(run: Run, command: list[str], address: str) -> None:
    finished = run(*command, "--address", address)
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.startswith("error: --address must be HOST:PORT, such as 127.0.0.1:50051")
    assert finished.err.count("\n") == 1


def test_a_wrong_address_of_the_environment_is_wrong_usage_too(process: Run) -> None:
    finished = process("models", MFSERVE_ADDRESS="localhost")
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert "HOST:PORT" in finished.err


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["recommend", "nothing", "1"], "`mfserve models` lists the models."),
        (["recommend", "movies", "1", "--version", "99"], "`mfserve versions MODEL` lists the versions."),
        (["recommend", "movies", "1", "--alias", "nobody"], "`mfserve alias MODEL` lists the aliases."),
        (["jobs", "no-such-job"], "`mfserve jobs` lists the jobs."),
        (
            ["versions", "movies", "1", "--artifact", "no.svg"],
            "`mfserve versions MODEL VERSION` lists the files.",
        ),
        (
            ["alias", "movies", "production", "2", "--expected-revision", "7"],
            "`mfserve alias MODEL` shows the",
        ),
    ],
)
def test_a_refusal_says_what_to_do(run: Run, arguments: list[str], advice: str) -> None:
    assert advice in run(*arguments).err


def test_unreachable_server_is_one_line(run: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        finished = run("models", "--address", address, "--timeout", "30")
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith(f"error: the server at {address} cannot be reached")
    assert finished.err.endswith("--address or MFSERVE_ADDRESS names another server.\n")
    assert finished.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "m", "movielens-100k", "--wait"],
        ["recommend", "m", "1", "--json"],
        ["predict", "m", "1", "2"],
        ["similar", "m", "1"],
        ["versions", "m"],
        ["alias", "m", "production", "1"],
        ["jobs"],
        ["status"],
        ["embeddings", "m", "-o", "x.npz"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_says_so_in_one_line_of_its_own(
    process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    # In a process of its own, where grpc would write its own lines to standard error.
    monkeypatch.chdir(tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        finished = process(*arguments, "--address", f"127.0.0.1:{unused.getsockname()[1]}", "--timeout", "5")
    assert (finished.code, finished.out, finished.err.count("\n")) == (1, "", 1)
    assert "cannot be reached" in finished.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "movies", "movielens-100k", "--seed", "9" * 24],
        ["train", "movies", "movielens-100k", "--engine", "als", "--factors", "9" * 12],
        ["recommend", "movies", "1", "--version", "9" * 20],
        ["recommend", "movies", "\udcff"],
    ],
)
def test_what_no_message_can_carry_is_one_line_too(run: Run, arguments: list[str]) -> None:
    refused(run(*arguments), 2, "error: an argument cannot be sent: ")


def test_a_variable_that_looks_like_one_of_ours_is_told_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ALL_SETTINGS:
        monkeypatch.setenv(f"MFSERVE_{setting.upper()}", "1")
    assert run("models").err == ""
    monkeypatch.setenv("MFSERVE_ADRESS", "foo:1")
    told = run("models")
    assert (told.code, told.err) == (0, "MFSERVE_ADRESS is ignored (did you mean MFSERVE_ADDRESS?)\n")


def test_every_field_of_a_training_has_a_name_on_the_command_line() -> None:
    unnamed = {"model", "dataset.upload.upload_id"}
    assert set(_fields(pb.TrainRequest.DESCRIPTOR)) - unnamed <= set(OPTIONS)
    typed = {option for name in ("train", "tune") for one in commands()[name].params for option in one.opts}
    assert {option.split()[0] for option in OPTIONS.values() if option != "DATASET"} <= typed


def _fields(message: Any, before: str = "") -> Iterator[str]:
    for field in message.fields:
        if field.message_type is None:
            yield f"{before}{field.name}"
        else:
            yield from _fields(field.message_type, f"{before}{field.name}.")


def test_an_option_takes_the_place_of_a_field_and_of_nothing_else() -> None:
    assert as_typed("Set dataset.scale, or dataset.bad_rows.") == "Set --scale, or --bad-rows."
    assert as_typed("spec.als.factors: too small") == "--factors: too small"
    for data in ("it has 'dataset.scale'", "x.seed", "dataset.scale.unit", "my_request_id"):
        assert as_typed(data) == data
