"""A registry in a fresh folder, and real servers on port 0 over it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from mfserve_registry import Registry
from mfserve_server.opening import open_registry
from mfserve_server.service import Service
from mfserve_server.settings import Settings
from tests.server.calls import Server

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

MakeServer = Callable[..., Awaitable[Server]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def registry(home: Path, migrated: Path) -> Iterator[Registry]:
    home.mkdir()
    shutil.copy(migrated, home)
    with Registry.open(home) as opened:
        yield opened


@pytest.fixture
async def serve(home: Path, registry: Registry) -> AsyncIterator[MakeServer]:
    """Starts a server; other keyword arguments are settings. All are stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(traces: Traces | None = None, **settings: Any) -> Server:
            made = Settings(home=home, **{"port": 0, "poll_seconds": 0.02, "drain_seconds": 2.0} | settings)
            opened = stack.enter_context(open_registry(made, migrate=False))
            service = Service(made, opened, traces=traces)
            port = await service.start()
            stack.push_async_callback(service.stop)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return Server(service, f"127.0.0.1:{port}", channel)

        yield start


@pytest.fixture
async def server(serve: MakeServer) -> Server:
    """A server with default settings, over a registry that is empty unless a fixture before this one filled it."""
    return await serve()
