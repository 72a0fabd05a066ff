"""Grpc's targets are taken; what it would take for something else is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mfserve import AsyncClient, Client

TARGETS = [
    "127.0.0.1:50051",
    "recommender:1",
    "my-host.example:65535",
    "[::1]:50051",
    "[fe80::1%25eth0]:50051",
    "dns:recommender:50051",
    "dns:///recommender:50051",
    "dns://8.8.8.8/recommender:50051",
    "ipv4:192.0.2.1:50051,192.0.2.2:50051",
    "ipv6:[::1]:50051",
    "unix:/run/mfserve.sock",
    "unix:///run/mfserve.sock",
    "unix-abstract:mfserve",
    "xds:///recommender",
]
WRONG = [
    "",
    " ",
    "localhost",
    "127.0.0.1",
    "127.0.0.1:",
    ":50051",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:115587",
    "127.0.0.1:-1",
    "127.0.0.1:٥",
    "127.0.0.1:http",
    "127.0.0.1:50051/",
    "127.0.0.1:50051\n",
    "::1:50051",
    "[::1]",
    "a:1,b:2",
    "ipv4:192.0.2.1:50051,192.0.2.2",
    "http://127.0.0.1:50051",
    "dns:///recommender",
    "dns:50051",
    "unix:",
]


@pytest.mark.parametrize("address", TARGETS)
def test_a_target(address: str) -> None:
    with Client(address) as client:
        assert client.address == AsyncClient(address).address == address


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("address", WRONG)
def test_what_is_no_address_is_refused(kind: Any, address: str) -> None:
    told = (
        "address must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051, or unix:/path/of/a/socket, "
        f"not {address!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        kind(address)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_port_alone_is_no_address(kind: Any) -> None:
    with pytest.raises(TypeError, match="address must be a str, not int 50051"):
        kind(50051)
