"""Where the calls of an alias go."""

from __future__ import annotations

from dataclasses import dataclass

from mfserve_registry.aliases import ResolvedAlias, ResolvedVersion
from mfserve_server.loading import LoadedVersion
from mfserve_server.splitting import Split


@dataclass(frozen=True, slots=True)
class Route:
    """The versions that answer for an alias.

    Attributes:
        wanted: what the alias names.
        split: how its targets share the users.
        targets: the versions that answer, in the order of the alias's targets: the heaviest first.
    """

    wanted: ResolvedAlias
    split: Split
    targets: tuple[LoadedVersion, ...]

    def answering(self, user_id: str) -> LoadedVersion:
        """The version that answers a user; the heaviest where the call names none ("")."""
        return self.targets[self.split.place(user_id)]


def resolved_for(alias: ResolvedAlias, user_id: str) -> ResolvedVersion:
    """The same of an alias that there is no route for yet."""
    return alias.versions[split_of(alias).place(user_id)]


def split_of(alias: ResolvedAlias) -> Split:
    return Split(alias.model, alias.alias, alias.state.targets)
