"""Who may call what: every method by every kind of caller."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from structlog.testing import capture_logs

from mfserve.v1 import common_pb2, model_service_pb2, recommendation_service_pb2, training_service_pb2
from mfserve.v1.model_service_pb2_grpc import ModelServiceStub
from mfserve_registry import Registry
from mfserve_server import service
from mfserve_server.security.access import BadAccessFile, read_access
from mfserve_server.security.guard import Guard
from mfserve_server.security.scopes import RULES
from tests.registry.helpers import request as job_request
from tests.server.calls import DEADLINE, Server, Told, told
from tests.server.certificates import Authority
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until

METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in (recommendation_service_pb2, training_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ASKING = {
    "Recommend",
    "StreamRecommend",
    "PredictRating",
    "BatchPredictRatings",
    "FindSimilarItems",
    "GetEmbeddings",
}
READING = {"ListModels", "GetModel", "ListModelVersions", "GetModelVersion"}
TRAINING = {
    "Train",
    "GetTrainingJob",
    "ListTrainingJobs",
    "CancelTrainingJob",
    "WatchTrainingJob",
    "UploadDataset",
    "CompareModelVersions",
    "GetArtifact",
}
WITHOUT_MODEL = {"ListModels", "GetServingStatus"}

ALLOWED = {
    "nobody": set[str](),
    "stranger": set[str](),
    "late": set[str](),
    "idle": set[str](),
    "shop": ASKING | READING,
    "learner": TRAINING | READING,
    "boss": set(METHODS),
    # These may do it for movies, which the requests are about, where they are about a model at all.
    "movie-shop": (ASKING | READING) - WITHOUT_MODEL,
    "movie-boss": set(METHODS) - WITHOUT_MODEL,
    # And these for another.
    "song-shop": set[str](),
    "song-boss": {"UploadDataset"},
}
FILE = """
[[callers]]
name = "idle"
{idle}
scopes = []

[[callers]]
name = "shop"
{shop}
scopes = ["recommend"]

[[callers]]
name = "learner"
{learner}
scopes = ["train"]

[[callers]]
name = "boss"
{boss}
scopes = ["admin"]

[[callers]]
name = "late"
{late}
scopes = ["admin"]
expires = 2026-01-01T00:00:00Z

[[callers]]
name = "movie-shop"
{movie-shop}
scopes = ["recommend"]
models = ["movies", "books"]

[[callers]]
name = "movie-boss"
{movie-boss}
scopes = ["admin"]
models = ["movies"]

[[callers]]
name = "song-shop"
{song-shop}
scopes = ["recommend"]
models = ["songs"]

[[callers]]
name = "song-boss"
{song-boss}
scopes = ["admin"]
models = ["songs"]
"""


def token(name: str) -> str:
    return f"the-token-of-{name}"


def hashed(name: str) -> str:
    return f'token_sha256 = "{hashlib.sha256(token(name).encode()).hexdigest()}"'


def certified(name: str) -> str:
    return f'certificate = "{name}.example"'


@dataclass(frozen=True)
class Known:
    """A server that knows callers, and a job of the model movies there."""

    server: Server
    callers: Path
    job_id: str


@pytest.fixture
async def known(
    serve: MakeServer, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Known:
    """It looks for other callers far more often than for moved aliases."""
    monkeypatch.setattr(service, "READ_SECONDS", 0.02)
    publish(registry)
    callers = tmp_path / "callers.toml"
    callers.write_text(FILE.format_map({name: hashed(name) for name in ALLOWED}))
    job, _ = registry.jobs.submit(job_request("waiting"))
    return Known(await serve(callers=callers, poll_seconds=60.0), callers, job.job_id)


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    assert RULES.keys() == {method.full_name for method in METHODS.values()}


@pytest.mark.parametrize("caller", sorted(ALLOWED))
async def test_exactly_the_allowed_calls_pass_with_a_token(known: Known, caller: str) -> None:
    header = None if caller == "nobody" else (("authorization", f"Bearer {token(caller)}"),)
    assert await passed(known.server.channel, known.job_id, header) == ALLOWED[caller]


async def test_exactly_the_allowed_calls_pass_with_a_certificate(
    serve: MakeServer, registry: Registry, tmp_path: Path
) -> None:
    publish(registry)
    job, _ = registry.jobs.submit(job_request("waiting"))
    authority = Authority(tmp_path / "authority")
    authority.certify_server()
    callers = tmp_path / "callers.toml"
    callers.write_text(FILE.format_map({name: certified(name) for name in ALLOWED}))
    server = await serve(
        callers=callers,
        tls_certificate=authority.certificate,
        tls_key=authority.key,
        tls_client_roots=authority.roots,
    )
    for caller, allowed in ALLOWED.items():
        if caller != "nobody":  # who has no certificate does not even get to calling
            credentials = authority.channel_credentials(f"{caller}.example")
            async with grpc.aio.secure_channel(server.address, credentials) as channel:
                assert await passed(channel, job.job_id) == allowed
    stranger = authority.channel_credentials("another.example")
    async with grpc.aio.secure_channel(server.address, stranger) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ModelServiceStub(channel).ListModels(
                model_service_pb2.ListModelsRequest(), timeout=DEADLINE
            )
    found = told(caught.value)
    assert found.code is grpc.StatusCode.UNAUTHENTICATED
    assert "no caller by the certificate of another.example" in found.message


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer ",
        "Bearer",
        "bearer the-token-of-boss",
        "Basic the-token-of-boss",
        "the-token-of-boss",
        "Bearer the-token-of-boss2",
        "Bearer the-token-of-bos",
        "Bearer " + "x" * 4000,
    ],
)
async def test_a_header_that_is_nearly_right_is_wrong(known: Known, header: str) -> None:
    found = await refusal(known, (("authorization", header),))
    assert (found.code, found.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "boss" not in found.message


async def test_what_is_refused_says_why(known: Known) -> None:
    late = await refusal(known, (("authorization", f"Bearer {token('late')}"),))
    assert (late.code, late.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "expired" in late.message
    scope = await refusal(known, (("authorization", f"Bearer {token('learner')}"),))
    assert (scope.code, scope.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert scope.metadata == {"caller": "learner", "scopes": "admin,recommend"}
    model = await refusal(known, (("authorization", f"Bearer {token('song-shop')}"),))
    assert (model.code, model.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MODEL_NOT_ALLOWED")
    assert "movies" in model.message


async def test_health_is_for_everybody(known: Known) -> None:
    check: Any = known.server.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert await check(b"", timeout=DEADLINE) == b"\x08\x01"


async def test_the_file_is_read_again_and_a_broken_one_is_not_used(known: Known) -> None:
    boss = (("authorization", f"Bearer {token('boss')}"),)
    assert await is_answered(known, boss)
    whole = known.callers.read_text()
    with capture_logs() as logs:
        known.callers.write_text(whole.replace("scopes", "scope"))
        await until(lambda: _has(logs, "goes on with the callers it had"))
        assert await is_answered(known, boss)
        known.callers.write_text("")
        await until(lambda: _has(logs, "has read who may call"))
    assert (await refusal(known, boss)).reason == "UNAUTHENTICATED"  # nobody is left, and not everybody
    assert "token" not in str(logs)


def test_a_token_is_known_again_but_no_other_and_not_by_another_reading(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(f'[[callers]]\nname = "shop"\n{hashed("shop")}\nscopes = ["recommend"]\n')
    access = read_access(path)
    shown = token("shop").encode()
    assert [access.with_token(text) for text in (b"", shown[:-1], shown + b"x")] == [None] * 3
    assert [access.with_token(shown) for _ in range(2)] == [
        access.by_token[hashlib.sha256(shown).hexdigest()]
    ] * 2
    assert [access.with_token(text) for text in (b"", shown[:-1], shown + b"x")] == [None] * 3
    assert shown.decode() not in repr(access)
    path.write_text("")
    assert read_access(path).with_token(shown) is None


async def test_a_defect_in_looking_at_one_file_does_not_end_the_looking_at_another(known: Known) -> None:
    def fails() -> None:
        raise ValueError

    known.server.service._looks.insert(0, fails)
    with capture_logs() as logs:
        known.callers.write_text("")
        await until(lambda: _has(logs, "has read who may call"))
    assert await _has(logs, "cannot look at a file, by a defect")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("callers = 3", r"callers: each of them is a table of its own, headed \[\[callers\]\]"),
        ('[callers]\nname = "a"', r"callers: each of them is a table of its own, headed \[\[callers\]\]"),
        ("callers = [3]", "caller number 1: "),
        ("[[caller]]", "caller is none of callers"),
        ('[[callers]]\nname = "a"\nscopes = []', "caller a: it has either token_sha256 or certificate"),
        (
            '[[callers]]\nname = "a"\ntoken_sha256 = "secret"\nscopes = []',
            "caller a: token_sha256: it is 64 hex",
        ),
        (
            '[[callers]]\nname = "a"\ncertificate = "a"\nscopes = ["everything"]',
            "caller a: scopes: they are a list of recommend",
        ),
        ('[[callers]]\ncertificate = "a"\nscopes = []', "caller number 1: name: "),
        (
            '[[callers]]\nname = "a"\nrate = 3\nscopes = []',
            "caller a: rate is none of name, .*calls_per_second",
        ),
        (2 * '[[callers]]\nname = "a"\ncertificate = "a"\nscopes = []\n', "two callers have the same name"),
        (
            '[[callers]]\nname = "a"\ncertificate = "a"\nscopes = []\nexpires = 2027-01-01',
            "caller a: expires: it is a time",
        ),
        ("[", "is no TOML"),
        ("\udcff", "is no TOML"),
    ],
)
def test_a_file_that_names_no_callers_is_told_of_without_its_secrets(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "callers.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadAccessFile, match=message) as caught:
        read_access(path)
    assert "secret" not in str(caught.value)


def test_a_metric_tells_while_the_file_cannot_be_used(tmp_path: Path) -> None:
    path, told = tmp_path / "callers.toml", list[float]()

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(path)

    async def model_of_job(job_id: str) -> str:
        raise AssertionError(job_id)

    replace(FILE.format_map({name: hashed(name) for name in ALLOWED}))
    guard = Guard(path, model_of_job, told.append)
    for text in ("[", "callers = 3", ""):
        replace(text)
        guard.look()
        guard.look()
    assert told == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert len(guard.access) == 0


async def passed(channel: grpc.aio.Channel, job_id: str, metadata: Any = None) -> set[str]:
    """The methods whose calls got beyond the question of who calls."""
    names = list(METHODS)
    codes = await asyncio.gather(*(_code(channel, METHODS[name], job_id, metadata) for name in names))
    refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return {name for name, code in zip(names, codes, strict=True) if code not in refused}


async def _code(
    channel: grpc.aio.Channel, method: MethodDescriptor, job_id: str, metadata: Any
) -> grpc.StatusCode:
    kind = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    make: Any = kind(f"/{method.containing_service.full_name}/{method.name}")
    data = about_movies(method, job_id).SerializeToString()
    while True:
        call = make(_only(data) if method.client_streaming else data, timeout=DEADLINE, metadata=metadata)
        try:
            await (call.read() if method.server_streaming else call)
        except grpc.aio.AioRpcError as error:
            # Where a call ends while a request is on its way, grpc.aio says this in place of what the server said.
            if error.details() != "Internal error from Core":
                return error.code()
        else:
            return grpc.StatusCode.OK
        finally:
            call.cancel()


def about_movies(method: MethodDescriptor, job_id: str) -> Message:
    """A request that names the model, or a job of it, wherever a request of the method can; and else is empty."""
    request = GetMessageClass(method.input_type)()
    fields = method.input_type.fields_by_name
    spec = common_pb2.ModelSpec(model="movies")
    if "config" in fields:
        request.config.model_spec.CopyFrom(spec)  # type: ignore[attr-defined]
    elif "model_spec" in fields:
        request.model_spec.CopyFrom(spec)  # type: ignore[attr-defined]
    elif "job_id" in fields:
        request.job_id = job_id  # type: ignore[attr-defined]
    elif "model" in fields:
        request.model = "movies"  # type: ignore[attr-defined]
    return request


async def _only(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def is_answered(known: Known, metadata: Any) -> bool:
    code = await _code(known.server.channel, METHODS["ListAliasEvents"], known.job_id, metadata)
    return code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


async def refusal(known: Known, metadata: Any) -> Told:
    request = about_movies(METHODS["Recommend"], known.job_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await known.server.recommendations.Recommend(request, timeout=DEADLINE, metadata=metadata)
    return told(caught.value)


async def _has(logs: list[Any], event: str) -> bool:
    return any(entry["event"] == event for entry in logs)
