"""A bucket that cannot be used says why: what is to be mended, without addresses, and what may pass by itself."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from mfserve_registry import Registry
from mfserve_registry.errors import Unavailable
from mfserve_registry.store import bucket as store_bucket
from tests.places import BUCKET
from tests.registry.archive.golden import FOLDER
from tests.registry.helpers import publish
from tests.waiting import eventually


@contextmanager
def answering(status: int, code: str | None) -> Iterator[str]:
    """The URL of a server that answers every request with this status, and this code of S3 in the body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        body = f"<Error><Code>{code}</Code></Error>".encode() if code and request.command != "HEAD" else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    methods = dict.fromkeys(("do_GET", "do_HEAD", "do_PUT", "do_POST", "do_DELETE"), answer)
    quiet = {"log_message": lambda *_: None}
    handler = type("Handler", (BaseHTTPRequestHandler,), {**methods, **quiet})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def home(home: Path, migrated: Path) -> Path:
    """With a database that has its tables: who makes one asks the store at once."""
    home.mkdir()
    shutil.copy(migrated, home)
    return home


def told_at_the_start(home: Path, url: str) -> str:
    """What the log says when the store is asked."""
    with Registry.open(home, store_url=url) as registry, capture_logs() as logs:
        registry.ask_store()
        entry = eventually(lambda: next(iter(logs), None), "the store has told the log")
    assert (entry["event"], entry["log_level"]) == ("the store cannot be used", "warning")
    return str(entry["message"])


def told_to_callers(home: Path, url: str) -> set[str]:
    """What those are told who read, write and list."""

    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(Unavailable) as caught:
            call()
        return caught.value.message

    with Registry.open(home, store_url=url) as registry:
        return {
            refused(lambda: registry.snapshots.hold("0" * 64)),
            refused(lambda: registry.snapshots.manifest("0" * 64)),
            refused(lambda: registry.import_version(FOLDER / "format-1.mfserve")),
            refused(lambda: publish(registry)),
            refused(registry.collect),
        }


def test_no_such_bucket(home: Path, bucket: str) -> None:
    told = (
        f"The registry's bucket '{BUCKET}-absent' does not exist at its endpoint; "
        "create it, or correct the store's URL or AWS_ENDPOINT_URL."
    )
    url = f"{bucket}-absent/prefix"
    assert told_at_the_start(home, url) == told
    assert told_to_callers(home, url) == {told}


def test_access_denied(home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        f"The registry's bucket '{BUCKET}' refuses access; let these credentials list, read, write and delete in it, "
        "or give others in the AWS_* variables."
    )
    with answering(403, "AccessDenied") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert told_at_the_start(home, bucket) == told
        assert told_to_callers(home, bucket) == {told}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "InvalidAccessKeyId", "are not accepted; correct AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "are not accepted; correct AWS_ACCESS_KEY_ID"),
        (401, None, "are not accepted; correct AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", "set this machine's clock."),
        (400, "AuthorizationHeaderMalformed", "is in another region; correct AWS_REGION."),
        (301, None, "is in another region; correct AWS_REGION."),
        (404, None, "does not exist at its endpoint; create it"),
        (418, None, "does not answer as it should; try again."),
    ],
)
def test_what_a_server_answers(
    home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None, told: str
) -> None:
    with answering(status, code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert told in told_at_the_start(home, bucket)


def test_no_credentials(home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(404, None) as machine:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", machine)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        assert told_at_the_start(home, bucket).startswith(
            "There are no credentials for the registry's bucket"
        )


def test_nobody_there(home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_bucket, "SILENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert told_at_the_start(home, bucket).endswith("does not answer in time; try again.")
    assert told_at_the_start(home, bucket).startswith(
        "Nothing listens at the endpoint of the registry's bucket"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid")
    assert "endpoint of the registry's bucket 'registries' is not found" in told_at_the_start(home, bucket)
