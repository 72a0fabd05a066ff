"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any

import typer

from mfserve import Client
from mfserve._client.arguments import ArgumentValueError
from mfserve.cli._output import UsageError, plain, say

Address = Annotated[
    str, typer.Option("--address", "-a", envvar="MFSERVE_ADDRESS", help="Server to call, HOST:PORT.")
]
DEFAULT_ADDRESS = "127.0.0.1:50051"
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait for one answer.")]
DEFAULT_TIMEOUT = 10.0
Version = Annotated[
    int | None,
    typer.Option(
        "--version", "-v", min=1, help="Version number.", show_default="that of the alias production"
    ),
]
Alias = Annotated[str | None, typer.Option("--alias", help="Alias such as candidate, or latest.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of items wanted.")]
DEFAULT_LIMIT = 10


class HeadName(StrEnum):
    """A head, as people type it."""

    RANKING = "ranking"
    RATING = "rating"


@contextmanager
def connect(address: str, timeout: float, *, actor: str | None = None) -> Iterator[Client]:
    """A client of the server at the address."""
    for variable in _misspelt(os.environ):
        say(plain(f"{variable} is ignored (did you mean {_meant(variable)}?)"))
    try:
        client = Client(address, timeout=timeout, actor=actor)
    except ArgumentValueError as error:
        raise UsageError(f"--{error}") from error  # the options bear the names of the arguments
    try:
        with client:
            yield client
    except ArgumentValueError as error:
        # What no message can carry, such as a number too large for its field.
        raise UsageError(f"an argument cannot be sent: {error}") from error


_VARIABLES = ("MFSERVE_ADDRESS", "MFSERVE_ACTOR")


def _misspelt(environment: Iterable[str]) -> list[str]:
    """Variables that look like one of ours and are none. Those of servers and trainers, which these tell of, do not."""
    return [name for name in sorted(environment) if name not in _VARIABLES and _meant(name)]


def _meant(name: str) -> str | None:
    return next(iter(get_close_matches(name, _VARIABLES, n=1, cutoff=0.85)), None)


def choice(version: int | None, alias: str | None) -> dict[str, Any]:
    """The version that the person asked for, as arguments of a client's method."""
    if version is not None and alias is not None:
        raise UsageError("give --version or --alias, not both")
    return {"version": version, "alias": alias}


def version_or_alias(text: str | None) -> dict[str, Any]:
    """The same for a positional argument: a number is a version, anything else an alias."""
    if text is None:
        return {"version": None, "alias": None}
    return {"version": int(text), "alias": None} if text.isdecimal() else {"version": None, "alias": text}
