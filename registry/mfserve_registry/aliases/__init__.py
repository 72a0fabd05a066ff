"""Aliases: names for the versions that callers should get, their moves and their history."""

from mfserve_registry.aliases.aliases import Aliases
from mfserve_registry.aliases.moves import point
from mfserve_registry.aliases.rows import alias_from_row, aliases_of
from mfserve_registry.aliases.types import (
    Alias,
    AliasAction,
    AliasEvent,
    AliasShadow,
    AliasState,
    AliasTarget,
    ResolvedAlias,
    ResolvedVersion,
)

__all__ = [
    "Alias",
    "AliasAction",
    "AliasEvent",
    "AliasShadow",
    "AliasState",
    "AliasTarget",
    "Aliases",
    "ResolvedAlias",
    "ResolvedVersion",
    "alias_from_row",
    "aliases_of",
    "point",
]
