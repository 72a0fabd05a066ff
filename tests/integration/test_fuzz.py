"""Messages and bytes that nobody meant: a caller's fault is never the server's, and no process of it dies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfserve_registry import Registry
from mfserve_server.metrics.layout import SERVICES
from mfserve_server.security.scopes import RULES, Scope
from tests.integration.service import RunningService, running_service
from tests.server.calls import told
from tests.server.samples import job_request, publish

METHODS = {method.name: method for service in SERVICES for method in service.methods}
SECONDS = 10.0
NEVER = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}
LEAKS = ("Traceback", "Error(", "Exception", "/server/", "sqlite", ".py")

NEEDED = {"model_spec", "config", "pairs"}
"""Parts without which hardly anything is answered, beside the names of what there is."""
STRANGE = st.one_of(
    st.sampled_from(["", "latest", "movielens-100k", "../x", "a\x00b"]),
    st.text(max_size=8),
    st.text(min_size=250, max_size=260, alphabet="xé"),
)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: STRANGE,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=16),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT32: st.one_of(st.integers(-2, 3), st.integers(-(2**31), 2**31 - 1)),
    FieldDescriptor.TYPE_INT64: st.one_of(st.integers(-2, 3), st.integers(-(2**63), 2**63 - 1)),
    FieldDescriptor.TYPE_UINT32: st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
    FieldDescriptor.TYPE_UINT64: st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1)),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 6),
}


def right_for(method: MethodDescriptor, job_id: str) -> dict[str, str]:
    """What there is, by the fields that name it; for methods that take it away, what no other asks for."""
    model = "scratch" if RULES[method.full_name].scopes == {Scope.ADMIN} else "movies"
    names = {"model": model, "alias": "production", "user_id": "u1", "item_id": "i1", "job_id": job_id}
    return names | {"user_ids": "u1", "item_ids": "i1", "exclude_item_ids": "i1"}


@st.composite
def messages(
    draw: st.DrawFn, kind: Descriptor, right: Mapping[str, str], is_wild: bool | None = None, depth: int = 0
) -> Message:
    """Any message of the kind, its parts down to the fourth level; half of them say little but what there is."""
    message = GetMessageClass(kind)()
    is_wild = draw(st.booleans()) if is_wild is None else is_wild
    for field in kind.fields:
        is_needed = field.name in right or field.name in NEEDED
        if not (draw(st.booleans()) if is_wild else is_needed or draw(st.integers(0, 3)) == 3):
            continue
        if (part := field.message_type) is not None:
            if depth == 3 or part.GetOptions().map_entry:
                continue
            values: st.SearchStrategy[Any] = messages(part, right, is_wild, depth + 1)
        elif field.name in right:
            values = st.just(right[field.name])
            values = values | SCALARS[field.type] if is_wild else values
        else:
            values = SCALARS[field.type]
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
        elif part is not None:
            getattr(message, field.name).CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    return message


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "home"


@pytest.fixture(scope="module")
def job_id(home: Path) -> str:
    """A job that waits, beside all that is published."""
    with Registry.open(home) as registry:
        for model in ("movies", "scratch"):
            publish(registry, model, promote_to="production")
        job, _ = registry.jobs.submit(job_request())
        return job.job_id


@pytest.fixture(scope="module")
def service(home: Path, job_id: str) -> Iterator[RunningService]:
    with running_service(home, "--no-trainer") as running:
        yield running
        log = (home / "service.log").read_text()
        assert "process ended" not in log
        assert "defect" not in log


@pytest.fixture(scope="module")
def channel(service: RunningService) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(service.address) as channel:
        yield channel


def check(channel: grpc.Channel, method: MethodDescriptor, requests: list[bytes]) -> bool:
    """Whether the call is answered; if not, it is refused for what the caller did wrong."""
    error = outcome(channel, method, requests)
    if error is not None:
        assert error.code() not in NEVER, error
        found = told(error)
        assert not any(leak in found.message for leak in LEAKS), found.message
    return error is None


def outcome(channel: grpc.Channel, method: MethodDescriptor, requests: list[bytes]) -> Any:
    """The error, if it is one."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call: Any = getattr(channel, kind)(f"/{method.containing_service.full_name}/{method.name}")
    try:
        answer = call(iter(requests) if method.client_streaming else requests[0], timeout=SECONDS)
        if method.server_streaming:
            next(answer, None)  # a job that waits is followed for ever
            answer.cancel()
    except grpc.RpcError as error:
        return error
    return None


FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_no_message_is_the_servers_fault(channel: grpc.Channel, job_id: str, name: str) -> None:
    method = METHODS[name]
    kind = messages(method.input_type, right_for(method, job_id))
    answered = []

    @FEW
    @given(st.lists(kind, max_size=3) if method.client_streaming else st.tuples(kind))
    def ask(drawn: Sequence[Message]) -> None:
        answered.append(check(channel, method, [message.SerializeToString() for message in drawn]))

    ask()
    if method.containing_service.name == "RecommendationService":
        assert any(answered)  # else all of them had ended at the names


@pytest.mark.parametrize("name", sorted(METHODS))
@FEW
@given(data=st.data())
def test_no_bytes_are_the_servers_fault(
    channel: grpc.Channel, job_id: str, name: str, data: st.DataObject
) -> None:
    method = METHODS[name]
    if data.draw(st.booleans()):
        found = data.draw(st.binary(max_size=64))
    else:  # nearly right
        message = data.draw(messages(method.input_type, right_for(method, job_id)))
        right = bytearray(message.SerializeToString() or b"\x0a\x00")
        right[data.draw(st.integers(0, len(right) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        found = bytes(right[: data.draw(st.integers(1, len(right)))])
    check(channel, method, [found])


def test_the_worker_is_the_one_that_was_started(service: RunningService, channel: grpc.Channel) -> None:
    """Comes last: it still answers."""
    assert check(channel, METHODS["GetServingStatus"], [b""])
    assert (Path("/proc") / str(service.workers[0])).exists()
