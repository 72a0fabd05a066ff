"""The index of a training: deterministic, measured against the exact search, refused where it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from pydantic import ValidationError

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.jobs import Progress
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.spec import IndexConfig, NoRanking
from mfserve_scoring import Recommender
from mfserve_trainer.indexing import build, clusters_for, index_items
from mfserve_trainer.progress import Stage
from mfserve_trainer.training import train
from tests.registry.snapshot.samples import random_content
from tests.scoring.snapshots import opened
from tests.trainer.samples import QUICK, fit_task

INDEXED = QUICK.model_copy(update={"index": IndexConfig(recall=0.9, clusters=4), "refit": False})


def test_the_same_training_gives_the_same_digest_and_the_recall_that_was_asked_for(
    tmp_path: Path, csv: Path
) -> None:
    steps: list[Progress] = []
    tasks = [fit_task(tmp_path / name, csv, INDEXED) for name in ("first", "again")]
    first, again = (train(task, steps.append) for task in tasks)
    assert first.digest == again.digest
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages.index(Stage.INDEXING) < stages.index(Stage.REPORT)
    snapshot = Snapshot.open(tasks[0].staged, first.digest)
    assert first.facts["spec"]["index"] == {"recall": 0.9, "clusters": 4}
    assert snapshot.ranking is not None
    assert snapshot.ranking.index is not None
    assert 0.9 <= snapshot.ranking.index.recall <= 1
    answer = Recommender(snapshot).recommend(snapshot.users[0], 1, include_seen=True)
    assert answer.recall == snapshot.ranking.index.recall


def test_recall_is_the_share_of_the_exact_best_that_is_served() -> None:
    content = random_content(2, users=50, items=900, factors=9)
    few = [row[::60] for row in np.split(content.rated.indices, content.rated.indptr[1:-1])]
    rated = replace(
        content.rated,
        indptr=np.cumsum([0, *map(len, few)], dtype=np.int64),
        indices=np.concatenate(few),
    )
    head = content.ranking
    assert head is not None
    index = index_items(head, rated, IndexConfig(recall=0.8, clusters=32), seed=0)
    assert 0.8 <= index.recall < 1  # so few users are not divided: by whom it was chosen it was measured
    assert 1 < index.probes < 32
    served = Recommender(opened(replace(content, rated=rated, ranking=replace(head, index=index))))
    hits = sum(
        len(
            np.intersect1d(
                served.recommend(f"u{user}", 10).item_indices,
                served.recommend(f"u{user}", 10, exact=True).item_indices,
            )
        )
        for user in range(50)
    )
    assert index.recall == hits / 500
    assert index_items(head, rated, IndexConfig(recall=0.8, clusters=32), seed=0).probes == index.probes


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads that FAISS takes."""
    before = faiss.omp_get_max_threads()
    yield faiss.omp_set_num_threads
    faiss.omp_set_num_threads(before)


def test_the_same_items_give_the_same_bytes_in_one_thread_and_in_two(
    threads: Callable[[int], None],
) -> None:
    items = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
    threads(1)
    alone = build(items, 128)
    threads(2)
    np.testing.assert_array_equal(alone, build(items.copy(order="F"), 128))


@pytest.mark.parametrize(("items", "clusters"), [(1, 2), (1_682, 64), (100_000, 512), (1_000_000, 1024)])
def test_clusters_grow_with_the_root_of_the_catalogue(items: int, clusters: int) -> None:
    assert clusters_for(items) == clusters


def test_an_index_without_the_library_is_refused_before_the_training(
    tmp_path: Path, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    steps: list[Progress] = []
    with pytest.raises(FailedPrecondition, match=r"mfserve\[index\]") as refused:
        train(fit_task(tmp_path, csv, INDEXED), steps.append)
    assert refused.value.reason == "INDEX_UNAVAILABLE"
    assert [step.stage for step in steps] == [Stage.LOADING]


def test_an_index_without_a_ranking_head_is_refused() -> None:
    with pytest.raises(ValidationError, match="an index is of the ranking head"):
        type(QUICK)(ranking=NoRanking(), index=IndexConfig())
