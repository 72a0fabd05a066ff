"""Who serves what."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mfserve_registry import Registry, ServerInfo, ServingLease, ServingState
from mfserve_registry.errors import NotFound
from tests.registry.helpers import EPOCH, Clock

TTL = timedelta(seconds=10)
DIGEST = "d" * 64


def server(name: str) -> ServerInfo:
    return ServerInfo(name, "host", 42, 1, "127.0.0.1:50051", "0.1.0", EPOCH)


def test_a_server_and_its_leases(registry: Registry, clock: Clock) -> None:
    registry.serving.register(server("a"), TTL)
    clock.advance(TTL / 2)
    leases = [
        ServingLease("movies", 2, DIGEST, ServingState.AVAILABLE, aliases=("candidate", "production")),
        ServingLease("movies", 3, DIGEST, ServingState.FAILED, "SNAPSHOT_DAMAGED", "ids.npy was changed."),
    ]
    registry.serving.heartbeat("a", leases[::-1], TTL)
    (status,) = registry.serving.list()
    assert status.server == server("a")
    assert status.leases == tuple(leases)
    assert (status.heartbeat_at, status.expires_at) == (clock.now, clock.now + TTL)
    registry.serving.heartbeat("a", leases[:1], TTL)
    assert registry.serving.list()[0].leases == tuple(leases[:1])


def test_a_silent_server_is_not_listed(registry: Registry, clock: Clock) -> None:
    registry.serving.register(server("a"), TTL)
    registry.serving.register(server("b"), TTL)
    clock.advance(TTL / 2)
    registry.serving.heartbeat("a", [], TTL)
    clock.advance(TTL / 2)
    assert [status.server.server_id for status in registry.serving.list()] == ["a"]
    registry.serving.heartbeat("b", [], TTL)
    assert [status.server.server_id for status in registry.serving.list()] == ["a", "b"]


def test_a_server_that_was_silent_for_long_is_forgotten(registry: Registry, clock: Clock) -> None:
    registry.serving.register(server("a"), TTL)
    registry.serving.heartbeat("a", [ServingLease("movies", 1, DIGEST, ServingState.LOADING)], TTL)
    clock.advance(timedelta(hours=2))
    registry.serving.register(server("b"), TTL)
    with pytest.raises(NotFound) as caught:
        registry.serving.heartbeat("a", [], TTL)
    assert caught.value.reason == "SERVER_NOT_FOUND"
    registry.serving.register(server("a"), TTL)
    assert registry.serving.list()[0].leases == ()


def test_unregistering(registry: Registry) -> None:
    registry.serving.register(server("a"), TTL)
    registry.serving.heartbeat("a", [ServingLease("movies", 1, DIGEST, ServingState.AVAILABLE)], TTL)
    registry.serving.unregister("a")
    registry.serving.unregister("a")
    assert registry.serving.list() == []


def test_a_restart_under_the_same_id_holds_nothing(registry: Registry) -> None:
    registry.serving.register(server("a"), TTL)
    registry.serving.heartbeat("a", [ServingLease("movies", 1, DIGEST, ServingState.AVAILABLE)], TTL)
    registry.serving.register(server("a"), TTL)
    assert registry.serving.list()[0].leases == ()
