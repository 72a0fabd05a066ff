"""Publishers are killed by SIGKILL at named points and at any time, while others read and collect.

Whoever reads finds whole versions only, no number comes twice, and a collection leaves what the database names.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_registry.snapshot import verify_snapshot
from tests.places import Place
from tests.registry.collecting import AT_ONCE, kept, needed
from tests.registry.crashes.points import AT_A_TIME, NAMED
from tests.registry.crashes.roles import MODEL, Seen
from tests.waiting import eventually

Plan = tuple[int, str, int, float | None]
"""As the nursery reads it."""


_STORM = [pytest.mark.storm, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("place", "publishers"),
    [
        ("sqlite-folder", 40),
        ("postgres-s3", 20),
        pytest.param("sqlite-folder", 300, marks=_STORM),
        pytest.param("postgres-s3", 300, marks=_STORM),
    ],
    indirect=["place"],
)
def test_killed_publishers_leave_whole_versions_and_nothing_else(
    place: Place, registry: Registry, tmp_path: Path, publishers: int
) -> None:
    plans = list(plan(publishers))
    told, seen, collected = run(place, tmp_path / "readers", plans)
    listed = [registry.models.get_version(MODEL, number) for number in numbers(registry)]
    digests = {version.version: version.digest for version in listed}
    assert list(digests) == list(range(1, len(digests) + 1)), "each number once, and none left out"
    survived = [version for version in told if version is not None]
    assert survived == sorted(set(survived))
    assert set(survived) <= set(digests)
    for reader in seen:
        assert reader["loads"] > 0
        assert {
            int(number): digest for number, digest in reader["digests"].items()
        }.items() <= digests.items()

    before = kept(place)
    # A database notices a moment later that the last one's session is no more.
    eventually(
        lambda: all(verdict.goes for verdict in registry.collect(AT_ONCE).verdicts), "no publisher is left"
    )
    assert kept(place) == needed(registry)
    for version in listed:
        with registry.snapshots.hold(version.digest) as held:
            verify_snapshot(held.path, version.digest)
        assert [file.name for file in version.artifacts] == ["b.txt", "kind.txt"]
        for file in version.artifacts:
            registry.artifacts.read(MODEL, version.version, file.name)

    killed = Counter(plan[1] for plan, version in zip(plans, told, strict=True) if version is None)
    assert set(killed) == {*NAMED, AT_A_TIME}
    figures = {
        "publishers": publishers,
        "killed": dict(killed),
        "published": len(digests),
        "of them killed": len(digests) - len(survived),
        "loads by readers": sum(reader["loads"] for reader in seen),
        "collected meanwhile": collected,
        "collected at the end": len(before - kept(place)),
        "left": len(kept(place)),
        "left in .staging": len(list(place.staging.iterdir())),
    }
    sys.stdout.write(f"{place.store_url or 'folder'}: {figures}\n")


def plan(publishers: int) -> Iterator[Plan]:
    """One in three lives, one is killed at a named point, and one at a time."""
    chance = random.Random(publishers)
    for number in range(publishers):
        if number % 3 == 0:
            yield number, "", 0, None
        elif number % 3 == 1:
            point = NAMED[number // 3 % len(NAMED)]
            yield number, point, chance.randint(1, 5) if point == "while putting" else 1, None
        else:
            yield number, AT_A_TIME, 0, chance.random()


def run(place: Place, home: Path, plans: Sequence[Plan]) -> tuple[list[int | None], list[Seen], int]:
    """Of each publisher, its version if it lived to tell; what the readers have seen; and how much was collected."""
    command = [
        sys.executable,
        "-m",
        "tests.registry.crashes.nursery",
        json.dumps(asdict(place), default=str),
        str(home),
    ]
    lines = "".join(f"{json.dumps(plan)}\n" for plan in plans)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    *told, collected = map(json.loads, done.stdout.splitlines())
    return told[: len(plans)], told[len(plans) :], collected


def numbers(registry: Registry) -> list[int]:
    """Of all versions."""
    page = registry.models.list_versions(MODEL, page_size=1000)
    return sorted(version.version for version in page.items)
