"""Data at the edge of what makes sense: each trains to sane answers, or fails with a sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfserve.v1 import error_reason_pb2
from mfserve_registry.errors import NotFound, RegistryError
from mfserve_registry.jobs import Progress
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.spec import (
    AlsConfig,
    BayesConfig,
    DatasetSpec,
    FileDataset,
    IalsConfig,
    KerasConfig,
    KeyedHashSplit,
    NoSplit,
    RandomSplit,
    RatingScale,
    TrainingSpec,
)
from mfserve_scoring import Basis, RatingBasis, Recommender
from mfserve_trainer.training import Trained, train
from tests.trainer.samples import fit_task

pytestmark = [
    # Keras reads its own learning rate in a way that NumPy 2 warns about.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("undrawn"),
]

Row = tuple[str, str, float]

RATING_ENGINES = {
    "bayes": BayesConfig(factors=3, burn_in=2, samples=40, served_factors=4, interaction_features=3),
    "als": AlsConfig(factors=3, iterations=3),
    "keras": KerasConfig(factors=3, epochs=2, batch_size=256, biases=True),
}
"""Every engine of ratings, small."""
RANKING = IalsConfig(factors=3, iterations=3)
FIVE = RatingScale(minimum=1, maximum=5)

engines = pytest.mark.parametrize("engine", RATING_ENGINES.values(), ids=RATING_ENGINES.keys())


def ignore(step: Progress) -> None:
    """A report that nobody reads."""


def fit(
    folder: Path,
    rows: Sequence[Row],
    rating: Any,
    *,
    split: Any = NoSplit(),
    scale: RatingScale | None = FIVE,
    implicit: bool = False,
    **options: Any,
) -> tuple[Trained, Snapshot]:
    """Trains on the rows, given as a file, in the way a job is; the snapshot was verified, down to each number."""
    folder.mkdir(exist_ok=True)
    file = folder / "rows.csv"
    quoted = (",".join(f'"{field}"' for field in row) for row in rows)
    file.write_text("\n".join(["user_id,item_id,rating", *quoted, ""]))
    source = FileDataset(path=str(file))
    dataset = DatasetSpec(source=source, scale=None if implicit else scale, implicit=implicit)
    spec = TrainingSpec(**({"ranking": RANKING} | options), rating=rating, split=split)
    task = fit_task(folder / "task", file, spec, dataset=dataset)
    done = train(task, ignore)
    return done, Snapshot.open(task.staged, done.digest)


def check_answers(snapshot: Snapshot, rows: Sequence[Row]) -> None:
    """Every answer is finite, on the scale, and for known users of the model."""
    recommender = Recommender(snapshot)
    users, items = {row[0] for row in rows}, {row[1] for row in rows}
    if snapshot.rating is not None:
        scale = snapshot.scale
        assert scale is not None
        pairs = [(user, item) for user in [*users, "?"] for item in [*list(items)[:50], "?"]]
        ratings = recommender.predict_many(pairs).ratings
        lowest, highest = np.array([scale.minimum, scale.maximum], np.float32)
        assert ((ratings >= lowest) & (ratings <= highest)).all()
    batch = recommender.recommend_many([*users, "?"], 1000, include_seen=True)
    assert np.isfinite(batch.scores).all()
    assert batch.predicted_ratings is None or np.isfinite(batch.predicted_ratings).all()
    assert set(batch.counts.tolist()) == {len(snapshot.items)} or len(items) > 1000
    folded = recommender.recommend_history([(rows[0][1], rows[0][2])], 5, include_seen=True)
    assert np.isfinite(folded.scores).all()


def predicted(snapshot: Snapshot, user: str, item: str) -> float:
    return Recommender(snapshot).predict(user, item).rating


@engines
def test_one_rating_in_all(tmp_path: Path, engine: Any) -> None:
    rows = [("u", "i", 4.0)]
    _, snapshot = fit(tmp_path, rows, engine)
    check_answers(snapshot, rows)
    # The mean of 40 samples of one rating's posterior is not that exact.
    tolerance = 0.5 if engine.engine == "bayes" else 0.1
    assert predicted(snapshot, "u", "i") == pytest.approx(4.0, abs=tolerance)
    assert len(Recommender(snapshot).recommend("u", 5).item_indices) == 0  # nothing is left


@engines
def test_one_user(tmp_path: Path, engine: Any) -> None:
    rows = [("u", f"i{n}", float(1 + n % 5)) for n in range(40)]
    done, snapshot = fit(tmp_path, rows, engine, split=KeyedHashSplit(), refit=False)
    check_answers(snapshot, rows)
    assert done.facts["metrics"]["holdout_ratings"] > 0
    assert Recommender(snapshot).recommend("u", 5, include_seen=True).basis is Basis.MODEL


@engines
def test_one_item(tmp_path: Path, engine: Any) -> None:
    rows = [(f"u{n}", "i", float(1 + n % 5)) for n in range(40)]
    done, snapshot = fit(tmp_path, rows, engine, split=KeyedHashSplit(), refit=False)
    check_answers(snapshot, rows)
    assert done.facts["metrics"]["ranking_users"] > 0
    assert len(Recommender(snapshot).similar_items("i", 5).item_indices) == 0
    assert predicted(snapshot, "nobody", "i") == pytest.approx(3.0, abs=0.5)  # the mean of the training part


@engines
def test_all_ratings_equal(tmp_path: Path, engine: Any) -> None:
    rows = [(f"u{u}", f"i{i}", 4.0) for u in range(8) for i in range(8)]
    done, snapshot = fit(tmp_path, rows, engine, split=KeyedHashSplit(), refit=False)
    check_answers(snapshot, rows)
    for user, item in (("u1", "i2"), ("u1", "?"), ("?", "i2"), ("?", "?")):
        assert predicted(snapshot, user, item) == pytest.approx(4.0, abs=0.1)
    assert done.facts["metrics"]["rating"][0]["mse"] == pytest.approx(0.0, abs=0.01)


@engines
@pytest.mark.parametrize(
    "rows", [[("u", "i", 4.0)], [("u", "i", 4.0), ("v", "i", 4.0)]], ids=["one", "equal"]
)
def test_a_scale_that_the_ratings_do_not_tell_is_asked_for(tmp_path: Path, engine: Any, rows: Any) -> None:
    with pytest.raises(RegistryError, match=r"every rating of rows\.csv is 4, so the scale cannot be told"):
        fit(tmp_path, rows, engine, scale=None)


@engines
def test_a_user_with_5000_ratings(tmp_path: Path, engine: Any) -> None:
    rows = [("eager", f"i{n}", float(1 + n % 5)) for n in range(5000)]
    rows += [(f"u{n}", f"i{(n * 37 + m) % 5000}", 3.0) for n in range(20) for m in range(3)]
    _, snapshot = fit(tmp_path, rows, engine)
    check_answers(snapshot, rows)
    recommender = Recommender(snapshot)
    assert len(recommender.recommend("eager", 10).item_indices) == 0
    assert len(recommender.recommend("u3", 10).item_indices) == 10


@engines
def test_an_item_that_only_the_holdout_has_is_unknown(tmp_path: Path, engine: Any) -> None:
    """The split with this seed holds out the only row of some items."""
    rows = [(f"u{u}", f"i{i}", float(1 + (u + i) % 5)) for u in range(8) for i in range(8)]
    rows += [("u0", f"rare{n}", 5.0) for n in range(10)]
    split = RandomSplit(fraction=0.3, seed=1)
    measured, snapshot = fit(tmp_path, rows, engine, split=split, refit=False)
    held_out = [f"rare{n}" for n in range(10) if snapshot.items.index(f"rare{n}") < 0]
    assert held_out
    check_answers(snapshot, rows)
    recommender = Recommender(snapshot)
    assert recommender.predict("u0", held_out[0]).basis is RatingBasis.USER_MEAN
    with pytest.raises(NotFound):
        recommender.similar_items(held_out[0], 5)
    for row in measured.facts["metrics"]["rating"]:
        assert np.isfinite([row["mse"], row["rmse"], row["mae"]]).all()


@engines
def test_a_scale_of_a_half_to_ten(tmp_path: Path, engine: Any) -> None:
    rows = [(f"u{u}", f"i{i}", 10.0 if (u + i) % 2 else 0.5) for u in range(8) for i in range(8)]
    scale = RatingScale(minimum=0.5, maximum=10)
    done, snapshot = fit(tmp_path, rows, engine, scale=None, split=KeyedHashSplit(), refit=False)
    check_answers(snapshot, rows)
    assert snapshot.scale == scale
    assert done.facts["metrics"]["ranking_users"] > 0


@engines
def test_ids_that_are_not_numbers(tmp_path: Path, engine: Any) -> None:
    longest = "é" * 128
    ids = ["Jürgen Groß", "用户", "🎬🍿", " ", "-1", "nan", "a,b", "../../etc", longest, "\u202eright"]
    rows = [(user, item, float(1 + (a + b) % 5)) for a, user in enumerate(ids) for b, item in enumerate(ids)]
    _, snapshot = fit(tmp_path, rows, engine)
    check_answers(snapshot, rows)
    assert set(snapshot.users) == set(snapshot.items) == set(ids)
    assert all(Recommender(snapshot).predict(one, longest).basis is RatingBasis.MODEL for one in ids)
    with pytest.raises(RegistryError, match=r"line 2: user_id .* is longer than 256 bytes"):
        fit(tmp_path / "longer", [(longest + "e", "i", 3.0), *rows], engine)


def test_data_without_ratings(tmp_path: Path) -> None:
    rows = [(f"u{u}", f"i{i}", float("nan")) for u in range(12) for i in range(12) if (u + i) % 2 == 0]
    spec = TrainingSpec()
    done, snapshot = fit(tmp_path, rows, spec.rating, implicit=True, split=KeyedHashSplit())
    check_answers(snapshot, rows)
    assert (snapshot.rating, snapshot.scale) == (None, None)
    assert done.facts["spec"]["rating"] == {"engine": "none"}
    assert done.facts["dataset"]["scale"] is None
    metrics = done.facts["metrics"]
    assert metrics["rating"] == []
    assert [row["ranker"] for row in metrics["ranking"]] == ["RANKING_HEAD", "POPULARITY"]
    # Any held-out item is relevant, so everybody of whom one is held out counts.
    assert metrics["ranking_users"] > 6
    assert metrics["ranking"][0]["ndcg_at_10"] > 0


@engines
def test_data_without_ratings_train_no_rating_engine(tmp_path: Path, engine: Any) -> None:
    with pytest.raises(RegistryError) as caught:
        fit(tmp_path, [("u", "i", 1.0)], engine, implicit=True)
    assert caught.value.reason == "RATINGS_MISSING"


@engines
@pytest.mark.parametrize("split", [KeyedHashSplit(), RandomSplit()], ids=["keyed", "random"])
def test_too_little_to_hold_any_out_is_said(tmp_path: Path, engine: Any, split: Any) -> None:
    with pytest.raises(RegistryError) as caught:
        fit(tmp_path, [("u", "i", 4.0)], engine, split=split)
    assert caught.value.reason == "DATASET_TOO_SMALL"
    assert caught.value.message == (
        "1 rating is too few to hold out a share of 0.2: one part would be empty. Give more ratings, or train on "
        'all of them without metrics by the split "none".'
    )


def trained_or_refused(
    folder: Path, rows: Sequence[Row], rating: Any, **options: Any
) -> Snapshot | RegistryError:
    try:
        return fit(folder, rows, rating, **options)[1]
    except RegistryError as error:
        return error


ids = st.sampled_from(["a", "b", "c", " ", "é", "1"])
cells = st.dictionaries(st.tuples(ids, ids), st.floats(width=32, allow_nan=False), min_size=1, max_size=12)
sensible = st.dictionaries(st.tuples(ids, ids), st.sampled_from([0.5, 3, 10]), min_size=1, max_size=12)


@pytest.mark.parametrize(("name", "examples"), [("bayes", 10), ("als", 40), ("keras", 3)])
def test_whatever_comes_trains_or_is_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, examples: int
) -> None:
    engine = RATING_ENGINES[name]

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.nested_given])
    @given(
        cells | sensible,
        st.booleans(),
        st.sampled_from([NoSplit(), KeyedHashSplit(), RandomSplit(fraction=0.5)]),
        st.none() | st.just(RatingScale(minimum=0.5, maximum=10)),
    )
    def trains_or_is_refused(
        table: dict[tuple[str, str], float], implicit: bool, split: Any, scale: RatingScale | None
    ) -> None:
        rows = [(user, item, rating) for (user, item), rating in table.items()]
        folder = tmp_path_factory.mktemp("any")
        rating = TrainingSpec().rating if implicit else engine
        options = {"split": split, "scale": scale, "implicit": implicit}
        found = trained_or_refused(folder, rows, rating, **options)
        if isinstance(found, Snapshot):
            check_answers(found, rows)
            return
        assert f"ERROR_REASON_{found.reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict
        assert found.reason not in {"INTERNAL", "INVALID_FIELD"}
        assert len(found.message.split()) > 5
        assert "\n" not in found.message

    trains_or_is_refused()
