"""What tests of collections share: what the store keeps, and what it should."""

from __future__ import annotations

from datetime import timedelta

from mfserve_registry import Registry, Retention
from tests.places import Place

AT_ONCE = Retention(grace=timedelta())
"""Removes whatever nothing names, however young."""


def kept(place: Place) -> set[str]:
    """Digests, SHA-256s and upload ids of all that the store keeps, whole or not."""
    snapshots = {name.partition("/")[0] for name in place.stored("snapshots")}
    artifacts = {name.partition("/")[2] for name in place.stored("artifacts")}
    return snapshots | artifacts | {name.removesuffix(".parquet") for name in place.stored("uploads")}


def needed(registry: Registry, *uploads: str) -> set[str]:
    """The same of what the versions need, and these uploads."""
    found = set(uploads)
    for model in registry.models.list().items:
        for version in registry.models.list_versions(model.model, page_size=1000).items:
            found |= {version.digest, *(file.sha256 for file in version.artifacts)}
    return found


def gone(registry: Registry, retention: Retention = AT_ONCE) -> list[str]:
    """Collects; the names of what went."""
    return [verdict.name for verdict in registry.collect(retention).verdicts if verdict.goes]


def reasons(registry: Registry, retention: Retention) -> dict[str, str]:
    """By name, why what is looked at stays."""
    verdicts = registry.collect(retention, dry_run=True).verdicts
    return {verdict.name: verdict.why for verdict in verdicts if not verdict.goes}
