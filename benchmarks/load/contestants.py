"""Those who answer Recommend in the comparison, each a process on the core of the servers."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from benchmarks.comparison.running import ENVIRONMENTS, ROOT
from benchmarks.load.cores import ONE_THREAD, SERVER_CORE, on_core
from benchmarks.load.h2load import Call
from benchmarks.load.oracle import Arrays
from benchmarks.load.plain import REPLY
from benchmarks.load.serving import Serving
from benchmarks.service import started
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_server.security.access import Caller
from mfserve_server.security.issuing import append, new_token
from mfserve_server.security.scopes import Scope

RECOMMEND = "/mfserve.v1.RecommendationService/Recommend"
NO_KEPT_REPLIES = {"MFSERVE_REPLY_CACHE_BYTES": "0"}


class Contestant(Protocol):
    """One server under load."""

    @property
    def server(self) -> Serving:
        """Its process."""

    def calls(self, users: Sequence[str]) -> list[Call]:
        """One call for each user, as h2load should send it; WrongAnswer where a real one has the wrong items."""

    def ask(self, user: str) -> None:
        """A real call while others load the server; WrongAnswer where it has the wrong items."""


@dataclass(frozen=True)
class Limit:
    """Answers without looking."""

    server: Serving

    def calls(self, users: Sequence[str]) -> list[Call]:
        return [Call("/Limit/Unary", _request("m", user), len(REPLY)) for user in users]

    def ask(self, user: str) -> None:
        """There is no right answer."""


@dataclass(frozen=True)
class Recommender:
    """Answers the method of mfserve's API: mfserve, or a naive server."""

    server: Serving
    model: str
    arrays: Arrays
    channel: grpc.Channel
    token: str | None = None

    def calls(self, users: Sequence[str]) -> list[Call]:
        return [
            Call(RECOMMEND, _request(self.model, user), len(self._reply(user)), self.token) for user in users
        ]

    def ask(self, user: str) -> None:
        self._reply(user)

    def _reply(self, user: str) -> bytes:
        call: Any = self.channel.unary_unary(RECOMMEND)  # of bytes: their number is wanted
        metadata = None if self.token is None else (("authorization", f"Bearer {self.token}"),)
        reply: bytes = call(_request(self.model, user), timeout=30, metadata=metadata)
        found = pb.RecommendResponse.FromString(reply).recommendations
        self.arrays.check(user, [item.item_id for item in found])
        return reply


@dataclass(frozen=True)
class MlServer:
    """The V2 inference protocol, for which only its own environment has the messages."""

    server: Serving
    arrays: Arrays
    ask_command: Sequence[str]

    def calls(self, users: Sequence[str]) -> list[Call]:
        done = subprocess.run(
            self.ask_command,
            input=json.dumps(list(users)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
        )
        found = json.loads(done.stdout)
        for one in found:
            self.arrays.check(one["user"], one["items"])
        return [
            Call(
                "/inference.GRPCInferenceService/ModelInfer",
                base64.b64decode(one["request"]),
                len(base64.b64decode(one["reply"])),
            )
            for one in found
        ]

    def ask(self, user: str) -> None:
        """Not beside the load: a process of its own would be a load by itself."""


def _request(model: str, user: str) -> bytes:
    spec = common_pb2.ModelSpec(model=model)
    return pb.RecommendRequest(model_spec=spec, user_id=user, limit=10).SerializeToString()


@contextmanager
def plain(arrays: Path) -> Iterator[Serving]:
    """The naive server and the limits."""
    command = on_core(SERVER_CORE, sys.executable, "-m", "benchmarks.load.plain", str(arrays))
    with _process(command, os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Serving(f"127.0.0.1:{int(process.stdout.readline())}", process.pid)


class Services(ExitStack):
    """``mfserve serve`` with one worker and no trainer, one for each home and settings, until the end of the block."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[tuple[Path, frozenset[tuple[str, str]]], Serving] = {}

    def of(self, home: Path, settings: Mapping[str, str]) -> Serving:
        """The one with these settings, variables of its environment; started when first asked for."""
        key = home, frozenset(settings.items())
        if key not in self._started:
            service = started(home, "--no-trainer", core=SERVER_CORE, environment={**ONE_THREAD, **settings})
            ready = self.enter_context(service)
            self._started[key] = Serving(ready.address, ready.workers[0])
        return self._started[key]


@contextmanager
def recommender(
    server: Serving, model: str, arrays: Arrays, token: str | None = None
) -> Iterator[Recommender]:
    with grpc.insecure_channel(server.address) as channel:
        yield Recommender(server, model, arrays, channel, token)


def with_callers(path: Path) -> tuple[dict[str, str], str]:
    """Settings of a server that counts for Prometheus and knows the twenty callers of a new file, and one's token."""
    token = ""
    for number in range(20):
        token, hashed = new_token()
        append(
            path, Caller(name=f"caller-{number}", token_sha256=hashed, scopes=frozenset({Scope.RECOMMEND}))
        )
    return {"MFSERVE_CALLERS": str(path), "MFSERVE_METRICS_PORT": "0"}, token


@contextmanager
def mlserver(arrays: Arrays, path: Path) -> Iterator[MlServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    python = str(ENVIRONMENTS / "mlserver" / "bin" / "python")
    module = [python, "-m", "benchmarks.peers.mlserver"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with _process(
        on_core(SERVER_CORE, *module, "serve", str(path), port), environment, subprocess.DEVNULL
    ) as process:
        yield MlServer(Serving(f"127.0.0.1:{port}", process.pid), arrays, [*module, "ask", str(path), port])


@contextmanager
def _process(
    command: Sequence[str], environment: Mapping[str, str], stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.DEVNULL, env={**environment, **ONE_THREAD}, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout:
            process.stdout.close()
