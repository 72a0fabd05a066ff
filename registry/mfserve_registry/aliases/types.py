"""What an alias is, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AliasAction(StrEnum):
    """How an alias came to change."""

    FIRST_VERSION = "FIRST_VERSION"
    PROMOTED = "PROMOTED"
    FORCED = "FORCED"
    SET = "SET"
    ROLLED_BACK = "ROLLED_BACK"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """One version that an alias names.

    Attributes:
        version: its number.
        weight: its share of the users is this over the sum of the alias's weights; 1 or more.
    """

    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class AliasShadow:
    """A version that is asked beside the targets, without answering callers.

    Attributes:
        version: its number; none of the targets.
        share: of the users, above 0 and at most 1.
    """

    version: int
    share: float


@dataclass(frozen=True, slots=True)
class AliasState:
    """What an alias names at a time.

    Attributes:
        targets: the versions, the one of the highest weight first; empty where there is no such alias.
        shadow: the version beside them, or None.
    """

    targets: tuple[AliasTarget, ...] = ()
    shadow: AliasShadow | None = None

    @property
    def versions(self) -> list[int]:
        """Numbers of all versions that are named, the one that answers most first, the shadow last."""
        shadow = () if self.shadow is None else (self.shadow.version,)
        return [*(target.version for target in self.targets), *shadow]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for versions of a model.

    Attributes:
        model: name of the model.
        alias: the name.
        state: what it names.
        revision: counts the changes, from 1.
        updated_at: when it was last changed.
    """

    model: str
    alias: str
    state: AliasState
    revision: int
    updated_at: datetime

    @property
    def targets(self) -> tuple[AliasTarget, ...]:
        return self.state.targets

    @property
    def shadow(self) -> AliasShadow | None:
        return self.state.shadow


@dataclass(frozen=True, slots=True)
class AliasEvent:
    """One change of an alias.

    Attributes:
        revision: of the alias after it.
        action: how it came.
        before, after: what the alias named.
        actor: who, as they said; "" where they did not.
        reason: why, as they said.
        at: when.
        restored_revision: of a rollback, the revision whose state it brought back; None otherwise.
    """

    revision: int
    action: AliasAction
    before: AliasState
    after: AliasState
    actor: str
    reason: str
    at: datetime
    restored_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """What a name came to.

    Attributes:
        model: name of the model.
        version: number of the version.
        digest: the snapshot's digest.
        alias: the alias that was followed; None where the version was asked for by number.
    """

    model: str
    version: int
    digest: str
    alias: str | None


@dataclass(frozen=True, slots=True)
class ResolvedAlias:
    """What an alias came to.

    Attributes:
        model: name of the model.
        alias: the alias.
        state: its targets and its shadow.
        versions: the same as versions, in the order of ``state.versions``: the heaviest target first, the shadow last.
    """

    model: str
    alias: str
    state: AliasState
    versions: tuple[ResolvedVersion, ...]

    @property
    def targets(self) -> tuple[ResolvedVersion, ...]:
        """Those of the targets, the heaviest first."""
        return self.versions[: len(self.state.targets)]

    @property
    def shadow(self) -> ResolvedVersion | None:
        """That of the shadow."""
        return None if self.state.shadow is None else self.versions[-1]
