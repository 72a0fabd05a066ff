"""Aliases: names for the versions that callers should get, and their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mfserve._types.enums import AliasAction

__all__ = ["Alias", "AliasEvent", "AliasShadow", "AliasState", "AliasTarget"]


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """One version that an alias names."""

    version: int
    weight: int
    """Share of the users: this weight over the sum of the alias's weights."""


@dataclass(frozen=True, slots=True)
class AliasShadow:
    """A version that is asked beside an alias's targets, without answering callers."""

    version: int
    share: float
    """Of the users, above 0 and at most 1."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for the version that callers should get."""

    alias: str
    targets: tuple[AliasTarget, ...]
    revision: int
    """Counts the changes of the alias from 1: the ``expected_revision`` of the next one."""
    update_time: datetime | None
    shadow: AliasShadow | None = None


@dataclass(frozen=True, slots=True)
class AliasState:
    """What an alias names at a time."""

    targets: tuple[AliasTarget, ...]
    """The one of the highest weight first; empty where there is no such alias."""
    shadow: AliasShadow | None = None


@dataclass(frozen=True, slots=True)
class AliasEvent:
    """One change of an alias."""

    revision: int
    """The alias's revision after it."""
    action: AliasAction
    before: AliasState
    after: AliasState
    actor: str
    """Who did it, as they said; nobody has checked it."""
    reason: str
    time: datetime | None
    restored_revision: int | None
    """Of a rollback: the revision whose state it brought back."""
