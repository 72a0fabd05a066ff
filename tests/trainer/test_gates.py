"""Each gate, provoked with versions of random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.gates import Gate, GateOutcome, GateResult, PromotionGates
from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer.assemble import assemble
from mfserve_trainer.gates import Contender, judge, skip_all
from mfserve_trainer.holdout_rows import HoldoutRows
from tests.trainer.engines.synthetic import random_table
from tests.trainer.samples import random_heads
from tests.trainer.test_evaluation import opened

USERS, ITEMS = 40, 30
DEFAULTS = PromotionGates()
Folder = Callable[[], Path]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return lambda: tmp_path_factory.mktemp("version")


def content(users: int = USERS, items: int = ITEMS, seed: int = 0) -> SnapshotContent:
    return assemble(random_table(0, users, items), *random_heads(seed, users, items), facts={})


def rows(errors: float = 0.5, rank: int = 1, first: int = 0, count: int = 60) -> HoldoutRows:
    """Of 20 users with three ratings each; each rating is a 4, predicted as wrong as ``errors`` says."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return HoldoutRows(
        row=numbers,
        user=numbers // np.uint64(3),
        rating=np.full(count, 4, np.float32),
        predicted=np.full(count, 4 - errors, np.float32),
        rank=np.full(count, rank, np.uint8),
        relevant=np.arange(count) % 3 == 0,
    )


def judged(
    folder: Folder,
    new: SnapshotContent | None = None,
    bounds: PromotionGates = DEFAULTS,
    *,
    ours: HoldoutRows | None = None,
    theirs: HoldoutRows | None = None,
) -> dict[str, GateResult]:
    """Beside an incumbent that is ``content()``."""
    contender = Contender(opened(new or content(), folder()), ours)
    incumbent = Contender(opened(content(), folder()), theirs)
    found = judge(contender, incumbent, bounds)
    assert [result.gate for result in found] == list(Gate)
    return {result.gate: result for result in found}


def failed(found: dict[str, GateResult]) -> list[str]:
    return [gate for gate, result in found.items() if result.outcome is GateOutcome.FAILED]


def test_a_version_passes_beside_itself(folder: Folder) -> None:
    found = judged(folder, ours=rows(), theirs=rows())
    assert {result.outcome for result in found.values()} == {GateOutcome.PASSED}
    assert found[Gate.OVERLAP].value == 1
    for result in found.values():
        if result.gate != Gate.OVERLAP:
            assert result.value == result.incumbent_value


@pytest.mark.parametrize(
    ("users", "items", "wrong"),
    [(32, 24, []), (31, 24, ["USERS"]), (32, 23, ["ITEMS"]), (400, 300, [])],
)
def test_a_vocabulary_may_shrink_to_four_fifths(
    folder: Folder, users: int, items: int, wrong: list[str]
) -> None:
    found = judged(folder, content(users, items))
    assert [gate for gate in failed(found) if not gate.endswith("NORMS")] == wrong
    assert (found["USERS"].value, found["USERS"].incumbent_value) == (users, USERS)
    assert f"{items} items" in found["ITEMS"].message


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_embeddings_much_longer_or_shorter_than_the_incumbents_fail(folder: Folder, factor: float) -> None:
    base = content()
    assert base.rating is not None
    assert base.ranking is not None
    scale = np.float32(factor)
    rating = replace(base.rating, user_factors=base.rating.user_factors * scale)
    ranking = replace(base.ranking, item_factors=base.ranking.item_factors * scale)
    assert failed(judged(folder, replace(base, rating=rating))) == ["RATING_NORMS"]
    found = judged(folder, replace(base, ranking=ranking))
    assert failed(found) == ["RANKING_NORMS"]
    assert found["RANKING_NORMS"].value == pytest.approx(
        factor * (found["RANKING_NORMS"].incumbent_value or 0), rel=1e-5
    )


def test_a_head_of_users_doubled_and_items_halved_is_the_same_head(folder: Folder) -> None:
    base = content()
    assert base.ranking is not None
    users, items = base.ranking.user_factors * np.float32(8), base.ranking.item_factors / np.float32(8)
    ranking = replace(base.ranking, user_factors=users, item_factors=items)
    found = judged(folder, replace(base, ranking=ranking))
    assert failed(found) == []
    assert found["OVERLAP"].value == 1


def test_a_head_that_only_one_of_the_two_has_is_not_compared(folder: Folder) -> None:
    found = judged(folder, replace(content(), ranking=None))
    assert found["RANKING_NORMS"].outcome is GateOutcome.SKIPPED
    assert found["RANKING_NORMS"].message == "The new version has no ranking head."


@pytest.mark.parametrize(
    ("ours", "wrong"),
    [
        (rows(errors=0.509), []),
        (rows(errors=0.511), ["RATING_ERROR"]),
        (rows(errors=0.1, rank=2), ["RANKING_QUALITY"]),
        (rows(errors=0.6, rank=0), ["RATING_ERROR", "RANKING_QUALITY"]),
    ],
)
def test_a_holdout_fit_that_is_worse_on_the_same_rows_fails(
    folder: Folder, ours: HoldoutRows, wrong: list[str]
) -> None:
    found = judged(folder, ours=ours, theirs=rows())
    assert failed(found) == wrong
    assert found["RATING_ERROR"].incumbent_value == 0.5
    assert found["RANKING_QUALITY"].incumbent_value == 1
    assert found["RANKING_QUALITY"].message.startswith("nDCG@10 ")


def test_only_the_rows_that_both_held_out_count(folder: Folder) -> None:
    """On its own rows each is hopeless; on the 30 that they share the new one is as good."""
    ours, theirs = rows(first=30), rows(first=0)
    ours.predicted[30:] = 1
    theirs.predicted[:30] = 1
    found = judged(folder, ours=ours, theirs=theirs)
    assert failed(found) == []
    assert (found["RATING_ERROR"].value, found["RATING_ERROR"].incumbent_value) == (0.5, 0.5)
    assert "30 ratings that both versions held out" in found["RATING_ERROR"].message


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (None, rows(), "The new version keeps no record of a holdout fit, so the two cannot be compared."),
        (rows(), None, "The incumbent keeps no record of a holdout fit, so the two cannot be compared."),
        (rows(), rows(first=900), "No rating that both versions held out was predicted by both."),
        (rows(errors=np.nan), rows(), "No rating that both versions held out was predicted by both."),
    ],
)
def test_what_cannot_be_compared_is_skipped_and_says_so(
    folder: Folder, ours: HoldoutRows | None, theirs: HoldoutRows | None, told: str
) -> None:
    found = judged(folder, ours=ours, theirs=theirs)["RATING_ERROR"]
    assert (found.outcome, found.message) == (GateOutcome.SKIPPED, told)
    assert found.value is found.incumbent_value is found.bound is None


def test_the_overlap_is_reported_and_bounded_only_where_asked(folder: Folder) -> None:
    other = content(seed=1)
    reported = judged(folder, other)["OVERLAP"]
    assert reported.outcome is GateOutcome.PASSED
    assert reported.value is not None
    assert 0 < reported.value < 0.9
    asked = judged(folder, other, PromotionGates(min_overlap=0.9, max_norm_factor=100))
    assert failed(asked) == ["OVERLAP"]
    assert asked["OVERLAP"].value == reported.value


def test_bounds_at_their_ends_let_everything_pass(folder: Folder) -> None:
    bounds = PromotionGates(
        max_rmse_increase=1000, max_ndcg_decrease=1, max_norm_factor=1_000_000, min_vocabulary_share=0
    )
    found = judged(folder, content(3, 5, seed=2), bounds, ours=rows(errors=3, rank=0), theirs=rows())
    assert failed(found) == []


def test_without_an_incumbent_every_gate_is_skipped() -> None:
    found = skip_all("There is none.")
    assert [result.gate for result in found] == list(Gate)
    assert {result.outcome for result in found} == {GateOutcome.SKIPPED}
