"""Addresses of servers, which grpc does not check.

Whatever it cannot read it takes for a name to look up, a port modulo 65,536, and a missing one for 443.
"""

from __future__ import annotations

import ipaddress
import re

from mfserve._client.arguments import ArgumentValueError, text

_WITHOUT_PORT = re.compile(r"(?:unix|unix-abstract|vsock|xds):.+")
_SEVERAL = re.compile(r"ipv[46]:")
_LOOKED_UP = re.compile(r"\Adns:(?://[^/]*/)?")
_ASKED_ELSEWHERE = re.compile(r"dns://[^/]")
_PLACE = re.compile(r"(?:\[[^\[\]\s]+\]|[^\[\]\s:/,]+):([0-9]{1,5})")


def checked(address: str) -> str:
    """An address, if it is a host and a port or another target of grpc's. TypeError, ValueError: it is none."""
    text("address", address)
    if _WITHOUT_PORT.fullmatch(address):
        return address
    if not all(map(_is_place, _places(address))):
        raise ArgumentValueError(
            "address must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051, or unix:/path/of/a/socket, "
            f"not {address!r}"
        )
    return address


def is_local(address: str) -> bool:
    """Whether what goes to a checked address stays on this machine."""
    if _WITHOUT_PORT.fullmatch(address):
        return address.startswith("unix")
    if _ASKED_ELSEWHERE.match(address):
        return False  # of names, that server knows others
    return all(_is_loopback(place.rpartition(":")[0].strip("[]")) for place in _places(address))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _places(address: str) -> list[str]:
    if named := _SEVERAL.match(address):
        return address[named.end() :].split(",")
    return [_LOOKED_UP.sub("", address, count=1)]


def _is_place(place: str) -> bool:
    found = _PLACE.fullmatch(place)
    return found is not None and 1 <= int(found[1]) <= 65_535
