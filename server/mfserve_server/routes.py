"""Where the calls of an alias go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mfserve_registry.aliases import ResolvedAlias, ResolvedVersion
from mfserve_server.draws import Draw
from mfserve_server.loading import LoadedVersion
from mfserve_server.splitting import Split


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is asked beside those that answer, for a share of the users.

    By user and not by call: nothing has to be counted, the same users are compared in every process and after each
    restart, and whoever raises the share keeps those who were compared before.

    Attributes:
        loaded: the version.
        share: of the users.
        draw: says who is among them.
    """

    loaded: LoadedVersion
    share: float
    draw: Draw

    def hears(self, user_id: str) -> bool:
        """Whether it is asked what this user asks."""
        return self.draw.of(user_id) < self.share


@dataclass(frozen=True, slots=True)
class Route:
    """The versions that answer for an alias.

    Attributes:
        wanted: what the alias names.
        split: how the versions that answer share the users.
        targets: the versions that answer, in the order of the alias's targets: the heaviest first.
        shadow: the one that is asked beside them; None: none, or it has yet to be loaded.
    """

    wanted: ResolvedAlias
    split: Split
    targets: tuple[LoadedVersion, ...]
    shadow: Shadow | None = None

    @classmethod
    def of(cls, wanted: ResolvedAlias, loaded: Sequence[LoadedVersion]) -> Route:
        """To those of the alias's targets that are loaded, at least one, in its order.

        The users of the others go to these as if the alias named no more: all other users stay where they are.
        """
        numbers = {version.version for version in loaded}
        targets = [target for target in wanted.state.targets if target.version in numbers]
        return cls(wanted, Split(wanted.model, wanted.alias, targets), tuple(loaded))

    @property
    def missing(self) -> list[int]:
        """Numbers of the targets that do not answer."""
        here = {loaded.version for loaded in self.targets}
        return [target.version for target in self.wanted.targets if target.version not in here]

    def with_shadow(self, loaded: LoadedVersion, share: float) -> Route:
        """With this shadow."""
        draw = Draw("mfserve-shadow", loaded.model, self.wanted.alias, loaded.version)
        return replace(self, shadow=Shadow(loaded, share, draw))

    @property
    def versions(self) -> list[LoadedVersion]:
        """All that must stay loaded."""
        return [*self.targets, *(() if self.shadow is None else (self.shadow.loaded,))]

    def answering(self, user_id: str) -> LoadedVersion:
        """The version that answers a user; the heaviest where the call names none ("")."""
        return self.targets[self.split.place(user_id)]


def resolved_for(alias: ResolvedAlias, user_id: str) -> ResolvedVersion:
    """The same of an alias that there is no route for yet."""
    return alias.versions[Split(alias.model, alias.alias, alias.state.targets).place(user_id)]
