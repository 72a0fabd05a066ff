"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from mfserve.cli._output import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
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
