"""The numbering of items: every item keeps what belongs to it, under its new number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.snapshot import Snapshot, SnapshotContent, write_snapshot
from mfserve_registry.snapshot.content import Floats
from mfserve_scoring import Recommender
from mfserve_trainer import ordering
from mfserve_trainer.ordering import by_descending_norm
from tests.registry.snapshot.samples import random_content, with_posterior, without_ratings


def facts_of(content: SnapshotContent) -> dict[str, list[bytes]]:
    """All that belongs to an item, by its id."""
    columns: list[Floats] = [content.item_counts.astype(np.float32)]
    if content.item_means is not None:
        columns.append(content.item_means)
    if content.rating is not None:
        columns += [content.rating.item_biases, content.rating.item_factors]
        if content.rating.posterior is not None:
            columns.append(content.rating.posterior.item_samples)
    if content.ranking is not None:
        columns.append(content.ranking.item_factors)
    titles = content.item_titles or [""] * len(content.item_ids)
    return {
        item: [titles[number].encode(), *(column[number].tobytes() for column in columns)]
        for number, item in enumerate(content.item_ids)
    }


def rated_ids(content: SnapshotContent, user: int) -> set[str]:
    return {content.item_ids[item] for item in content.rated.of(user)}


FULL = random_content(5, users=30, items=70)
CONTENTS = {
    "both heads": with_posterior(FULL),
    "ranking alone": without_ratings(FULL),
    "rating alone": random_content(6, users=12, items=40, ranking=False, titles=False),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("piece", [1, 50, 1 << 20])
def test_items_keep_what_belongs_to_them(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_PIECE", piece)
    before = CONTENTS[name]
    after = by_descending_norm(before)
    head = after.ranking or after.rating
    assert head is not None
    norms = np.linalg.norm(head.item_factors.astype(np.float64), axis=1)
    assert (np.diff(norms) <= 1e-12).all()
    assert facts_of(after) == facts_of(before)
    assert after.user_ids == before.user_ids
    assert after.item_ids != before.item_ids
    assert after.rated.indices.dtype == np.int32
    for user in range(len(before.user_ids)):
        assert rated_ids(after, user) == rated_ids(before, user)
        assert (np.diff(after.rated.of(user)) > 0).all()


def test_items_of_one_norm_keep_their_order() -> None:
    assert FULL.ranking is not None
    turned = np.zeros((70, 4), dtype=np.float32)
    turned[np.arange(70), np.arange(70) % 4] = np.where(np.arange(70) < 35, 1, 2)
    after = by_descending_norm(replace(FULL, ranking=replace(FULL.ranking, item_factors=turned)))
    assert after.item_ids == [f"i{item}" for item in [*range(35, 70), *range(35)]]


def test_the_answers_are_the_same(tmp_path: Path) -> None:
    answers = []
    for name, content in (
        ("before", CONTENTS["both heads"]),
        ("after", by_descending_norm(CONTENTS["both heads"])),
    ):
        (tmp_path / name).mkdir()
        snapshot = Snapshot.open(tmp_path / name, write_snapshot(tmp_path / name, content))
        found = Recommender(snapshot).recommend_many(content.user_ids, 10)
        assert found.predicted_ratings is not None
        answers.append(
            (
                snapshot.items.take(found.item_indices),
                found.scores.tobytes(),
                found.predicted_ratings.tobytes(),
            )
        )
    assert answers[0] == answers[1]
