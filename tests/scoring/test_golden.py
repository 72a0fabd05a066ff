"""Snapshots that were written when their format was new open in this release, and give the answers that they gave.

A failure is never mended by making them again: callers have such snapshots. See ``golden.py``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mfserve_registry.snapshot import FORMAT, Snapshot, verify_snapshot
from mfserve_scoring import Recommender
from tests.scoring.golden import ANSWERS, FOLDER, ITEMS, TITLES, USERS, answer, contents

FOLDERS = sorted(path.parent for path in FOLDER.glob(f"format-*/*/{ANSWERS}"))
golden = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")


@cache
def recorded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ANSWERS).read_text("utf-8"))
    return found


def test_each_format_has_its_snapshots() -> None:
    assert {folder.parent.name for folder in FOLDERS} == {
        f"format-{number}" for number in range(1, FORMAT + 1)
    }
    assert {folder.name for folder in FOLDERS if folder.parent.name == f"format-{FORMAT}"} == set(contents())


@golden
def test_it_opens(folder: Path) -> None:
    digest = recorded(folder)["digest"]
    verify_snapshot(folder, digest)
    snapshot = Snapshot.open(folder, digest)
    assert (list(snapshot.users), list(snapshot.items)) == (USERS, ITEMS)
    assert snapshot.titles is None or list(snapshot.titles) == TITLES
    assert [snapshot.users.index(user) for user in USERS] == list(range(len(USERS)))


@golden
def test_it_gives_the_answers_that_it_gave_bit_for_bit(folder: Path) -> None:
    snapshot = Snapshot.open(folder, recorded(folder)["digest"])
    recommender = Recommender(snapshot)
    for each in recorded(folder)["answers"]:
        assert answer(snapshot, recommender, each["question"]) == each["answer"], each["question"]


def test_between_them_they_have_every_kind_of_answer() -> None:
    answers = [each["answer"] for folder in FOLDERS for each in recorded(folder)["answers"]]
    bases = {each["basis"] for each in answers if "basis" in each}
    assert bases == {"MODEL", "FOLD_IN", "POPULARITY", "USER_MEAN", "ITEM_MEAN", "GLOBAL_MEAN"}
    assert {each["recall"] for each in answers if "recall" in each} == {None, 0.9375}
    assert any(each.get("deviation") for each in answers)
