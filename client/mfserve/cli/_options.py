"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from mfserve import Client
from mfserve.cli._output import CommandError

Address = Annotated[
    str, typer.Option("--address", "-a", envvar="MFSERVE_ADDRESS", help="Server to call, HOST:PORT.")
]
DEFAULT_ADDRESS = "127.0.0.1:50051"
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait for one answer.")]
DEFAULT_TIMEOUT = 10.0
Version = Annotated[
    int | None, typer.Option("--version", "-v", min=1, help="Version number. [default: alias production]")
]
Alias = Annotated[str | None, typer.Option("--alias", help="Alias such as candidate, or latest.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of items wanted.")]
DEFAULT_LIMIT = 10


class HeadName(StrEnum):
    """A head, as people type it."""

    RANKING = "ranking"
    RATING = "rating"


def connect(address: str, timeout: float) -> Client:
    """A client of the server at the address."""
    return Client(address, timeout=timeout)


def choice(version: int | None, alias: str | None) -> dict[str, Any]:
    """The version that the person asked for, as arguments of a client's method."""
    if version is not None and alias is not None:
        raise CommandError("give --version or --alias, not both")
    return {"version": version, "alias": alias}


def version_or_alias(text: str | None) -> dict[str, Any]:
    """The same for a positional argument: a number is a version, anything else an alias."""
    if text is None:
        return {"version": None, "alias": None}
    return {"version": int(text), "alias": None} if text.isdecimal() else {"version": None, "alias": text}
