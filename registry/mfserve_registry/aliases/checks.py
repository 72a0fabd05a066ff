"""What a change of an alias may say. Each raises InvalidArgument naming the field."""

from __future__ import annotations

from collections.abc import Sequence

from mfserve_registry.aliases.types import AliasShadow, AliasState, AliasTarget
from mfserve_registry.errors import InvalidArgument

MAX_TARGETS = 10
MAX_WEIGHT = 1_000_000
MAX_REASON = 1000
MAX_ACTOR = 255


def wanted_state(
    version: int | None, targets: Sequence[AliasTarget], shadow: AliasShadow | None
) -> AliasState:
    """What the alias is to name: the one version or the targets, and the shadow."""
    if (version is None) == (not targets):
        raise InvalidArgument("Name either a version or the targets.", field="version")
    if version is not None:
        targets = (AliasTarget(version, 1),)
    _check_targets(targets)
    if shadow is not None:
        _check_shadow(shadow, targets)
    return AliasState(tuple(sorted(targets, key=lambda target: (-target.weight, target.version))), shadow)


def check_texts(reason: str, actor: str) -> None:
    """What goes into the history within its limits."""
    for field, text, limit in (("reason", reason, MAX_REASON), ("actor", actor, MAX_ACTOR)):
        if len(text) > limit:
            raise InvalidArgument(f"At most {limit} characters.", field=field)


def check_revision(revision: int) -> None:
    if revision < 0:
        raise InvalidArgument("A revision is 0 or more.", field="expected_revision")


def _check_targets(targets: Sequence[AliasTarget]) -> None:
    if len(targets) > MAX_TARGETS:
        raise InvalidArgument(f"An alias names at most {MAX_TARGETS} versions.", field="targets")
    seen: set[int] = set()
    for place, target in enumerate(targets):
        if not 1 <= target.weight <= MAX_WEIGHT:
            raise InvalidArgument(
                f"A weight is 1 to {MAX_WEIGHT:,}, not {target.weight}.", field=f"targets[{place}].weight"
            )
        if target.version in seen:
            raise InvalidArgument(
                f"Version {target.version} is named twice.", field=f"targets[{place}].version"
            )
        seen.add(target.version)


def _check_shadow(shadow: AliasShadow, targets: Sequence[AliasTarget]) -> None:
    if not 0 < shadow.share <= 1:  # nor NaN
        raise InvalidArgument(
            f"A share is above 0 and at most 1, not {shadow.share:g}.", field="shadow.share"
        )
    if shadow.version in {target.version for target in targets}:
        raise InvalidArgument(
            f"Version {shadow.version} is a target: a shadow is another version.", field="shadow.version"
        )
