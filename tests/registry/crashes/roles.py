"""What the processes of the nursery do, each with the registry opened anew."""

from __future__ import annotations

import random
import select
from datetime import timedelta
from typing import TypedDict

from mfserve_registry import Artifact, Registry
from mfserve_registry.errors import NotFound
from mfserve_registry.snapshot import Snapshot
from tests.registry.collecting import AT_ONCE
from tests.registry.crashes.points import Fuse
from tests.registry.helpers import request, stage

MODEL = "movies"
KINDS = 6
"""Snapshots that are published again and again, half of all: what a killed publisher has left the next one finds."""
_LEASE = timedelta(hours=1)  # a killed one's job does not come back


class Seen(TypedDict):
    """What a reader has loaded: how often, and the digests by version, each of them whole."""

    loads: int
    digests: dict[int, str]


def publish(number: int, fuse: Fuse, registry: Registry) -> int:
    """Publishes the next version; its number."""
    registry.jobs.submit(request(f"r{number}"))
    claim = registry.jobs.claim("publisher", _LEASE)
    assert claim is not None
    chance = random.Random(number)
    kind = chance.choice([chance.randrange(KINDS), KINDS + number])
    staged, digest = stage(registry, kind)
    fuse.lay(registry)
    fuse.reached("staged")
    files = [Artifact("kind.txt", "text/plain", str(kind).encode()), Artifact("b.txt", "text/plain", b"b")]
    version = registry.publish(claim, staged, digest, files).version
    fuse.reached("committed")
    return version


def read(number: int, end: int, registry: Registry) -> Seen:
    """Loads versions, whole and verified, until ``end`` can be read from."""
    chance, seen = random.Random(number), Seen(loads=0, digests={})
    newest = 0
    while not _over(end, 0.05):
        try:
            listed = registry.models.list_versions(MODEL).items
        except NotFound:
            continue
        assert listed[0].version >= newest, "a version is gone"
        newest = listed[0].version
        info = chance.choice([listed[0], chance.choice(listed)])
        with registry.snapshots.hold(info.digest) as held:
            assert Snapshot.open(held.path, info.digest).item_counts.sum() >= 0
        for file in info.artifacts:
            registry.artifacts.read(MODEL, info.version, file.name)
        assert seen["digests"].setdefault(info.version, info.digest) == info.digest, "a number came twice"
        seen["loads"] += 1
    return seen


def collect(end: int, registry: Registry) -> int:
    """Removes what nothing names, however young, again and again; how many things."""
    removed = 0
    while not _over(end, 0.1):
        removed += sum(verdict.goes for verdict in registry.collect(AT_ONCE).verdicts)
    return removed


def _over(end: int, pause: float) -> bool:
    """Whether it is time to end; after a pause that leaves others some time too."""
    return bool(select.select([end], [], [], pause)[0])
