"""Reserves the address that all server processes listen on."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from mfserve_registry.settings import StartError


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address that is ours while ``hold`` is open: workers join it by SO_REUSEPORT.

    Attributes:
        host: numeric address.
        port: the port, never 0.
        hold: bound and never listening, so that it gets no connections.
    """

    host: str
    port: int
    hold: socket.socket

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def reserve(host: str, port: int) -> Reservation:
    """Reserves ``host`` and ``port`` (0: any free port). StartError where that is not possible."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if port:
            _refuse_taken(family, place)
        hold = socket.socket(family, kind, protocol)
        hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hold.bind(place)
    except OSError as error:
        raise StartError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    found = hold.getsockname()
    return Reservation(str(found[0]), int(found[1]), hold)


def _refuse_taken(family: int, place: tuple[object, ...]) -> None:
    """With SO_REUSEPORT alone, a second server of the same user would silently share the first one's port."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
