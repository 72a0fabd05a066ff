"""Real servers with tiny services, and both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest

from mfserve import AsyncClient, Client
from tests.client.services import Behaviour, Served
from tests.client.twins import Awaited

Serve = Callable[..., Served]
Connect = Callable[..., Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server with the methods given by name."""
    servers: list[Served] = []

    def start(credentials: grpc.ServerCredentials | None = None, **behaviours: Behaviour) -> Served:
        servers.append(Served(behaviours, credentials))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(params=["sync", "async"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes a client for an address; the sync one behind the same interface as the async one."""
    clients: list[Any] = []

    def make(address: str, **options: Any) -> Any:
        client = (
            Awaited(Client(address, **options))
            if request.param == "sync"
            else AsyncClient(address, **options)
        )
        clients.append(client)
        return client

    yield make
    await asyncio.gather(*(client.close() for client in clients))
