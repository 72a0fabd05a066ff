"""Callers that no gRPC library would be: a call that is only begun, and one whose answer is never taken."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 0x1, 0x4
_INITIAL_WINDOW_SIZE = 4


@contextmanager
def unread_call(address: str, path: str, message: bytes | None = b"") -> Iterator[None]:
    """A call by which the server may send headers, and not one byte of a message (RFC 9113, 6.9); until the end.

    It has begun to answer when this begins, unless ``message`` is None: then it waits for one that never comes.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, struct.pack("!HI", _INITIAL_WINDOW_SIZE, 0))
            + _frame(_HEADERS, _END_HEADERS, 1, _headers(path, address))
        )
        if message is not None:
            body = struct.pack("!?I", False, len(message)) + message
            connection.sendall(_frame(_DATA, _END_STREAM, 1, body))
        awaited = _SETTINGS if message is None else _HEADERS
        with connection.makefile("rb") as stream:
            while _kind_of_next(stream) != awaited:
                pass
        yield


def _kind_of_next(stream: IO[bytes]) -> int:
    header = stream.read(9)
    assert len(header) == 9, "the server has hung up"
    stream.read(int.from_bytes(header[:3]))
    return int(header[3])


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack("!BBI", kind, flags, stream) + payload


def _headers(path: str, address: str) -> bytes:
    """Literals without indexing (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": address,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
