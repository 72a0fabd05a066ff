"""The comparison with peers: the measures against a count by hand, and a small run from end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.comparison.lines import BASELINE, DEFAULT, LINES, MODULES, Line
from benchmarks.comparison.measures import ranking_figures, rating_figures
from benchmarks.comparison.running import PeerFailed, run
from benchmarks.comparison.splits import Split, random_split
from benchmarks.comparison.tables import markdown, merged, tables
from benchmarks.peers.exchange import DEPTH, NOBODY, Answer, Task
from benchmarks.search.contestants import EXACT
from mfserve_registry.spec import RatingScale
from mfserve_trainer.ratings import Ratings, from_rows

SCALE = RatingScale(minimum=1.0, maximum=5.0)


def small_ratings(seed: int = 0, users: int = 30, items: int = 40, rows: int = 500) -> Ratings:
    """Random ratings in which each user likes one half of the items."""
    random = np.random.default_rng(seed)
    pairs = random.choice(users * items, rows, replace=False)
    user, item = pairs // items, pairs % items
    liked = user % 2 == item % 2
    rating = np.where(liked, random.integers(4, 6, rows), random.integers(1, 4, rows))
    return from_rows([f"u{u}" for u in user], [f"i{i}" for i in item], rating, scale=SCALE)


def by_hand(split: Split, top: list[list[int]]) -> float:
    """nDCG@10 as its definition reads."""
    gains = []
    for user, ranking in enumerate(top):
        relevant = {
            int(item)
            for row, item in enumerate(split.task.test_item)
            if split.task.test_user[row] == user and split.truth[row] >= 4
        }
        if relevant:
            gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranking[:10]) if item in relevant)
            gains.append(gain / sum(1 / np.log2(place + 2) for place in range(min(10, len(relevant)))))
    return float(np.mean(gains))


@pytest.fixture(scope="module")
def split() -> Split:
    return random_split(small_ratings(), seed=3)


def test_a_split_is_scikit_learns_on_the_rows_in_file_order(split: Split) -> None:
    from sklearn.model_selection import train_test_split

    ratings = small_ratings()
    users, items = ratings.user_ids[ratings.user_index], ratings.item_ids[ratings.item_index]
    names = np.char.add(users.astype(str), items.astype(str))
    train, test = train_test_split(names, test_size=0.2, random_state=3)
    task = split.task
    assert list(np.char.add(task.user_ids[task.user], task.item_ids[task.item])) == list(train)
    assert list(np.char.add(task.user_ids[task.test_user], task.item_ids[task.test_item])) == list(test)


def test_users_and_items_of_test_rows_alone_are_numbered_behind_the_others() -> None:
    ratings = from_rows([f"u{n}" for n in range(10)], [f"i{n}" for n in range(10)], [3.0] * 10, scale=SCALE)
    task = random_split(ratings, seed=0).task
    assert (task.users, task.items) == (8, 8)
    assert sorted(task.test_user) == sorted(task.test_item) == [8, 9]
    assert sorted(task.user_ids) == sorted(ratings.user_ids)


def test_a_task_and_an_answer_survive_their_files(split: Split, tmp_path: Path) -> None:
    split.task.save(tmp_path / "task.npz")
    loaded = Task.load(tmp_path / "task.npz")
    for name in Task.__slots__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(split.task, name))
    Answer(predicted=np.ones(3, np.float32), rating_seconds=0.5).save(tmp_path / "answer.npz")
    found = Answer.load(tmp_path / "answer.npz")
    assert (found.rating_seconds, found.deviation, found.top, found.ranking_seconds) == (
        0.5,
        None,
        None,
        None,
    )
    np.testing.assert_array_equal(found.predicted, np.ones(3, np.float32))


def test_ranking_figures_are_those_of_the_definition(split: Split) -> None:
    random = np.random.default_rng(1)
    seen = set(zip(split.task.user.tolist(), split.task.item.tolist(), strict=True))
    top = [
        [item for item in random.permutation(split.task.items).tolist() if (user, item) not in seen][:DEPTH]
        for user in range(split.task.users)
    ]
    padded = np.full((split.task.users, DEPTH), NOBODY, np.int32)
    for user, ranking in enumerate(top):
        padded[user, : len(ranking)] = ranking
    figures = ranking_figures(Answer(top=padded, ranking_seconds=1.0), split)
    assert figures["ndcg_at_10"] == pytest.approx(by_hand(split, top))
    assert figures["coverage_at_10"] == len({item for row in top for item in row[:10]}) / split.task.items


def test_a_ranking_of_what_was_rated_in_training_is_refused(split: Split) -> None:
    top = np.full((split.task.users, DEPTH), NOBODY, np.int32)
    top[split.task.user[0], 0] = split.task.item[0]
    with pytest.raises(ValueError, match="rated in training"):
        ranking_figures(Answer(top=top, ranking_seconds=1.0), split)


def test_calibration_counts_the_rows_that_have_a_deviation(split: Split) -> None:
    off = np.resize(np.array([0.5, 1.5, 2.5, 9.0], np.float32), len(split.truth))
    deviation = np.where(off == 9.0, np.nan, 1.0).astype(np.float32)
    answer = Answer(predicted=split.truth + off, deviation=deviation, rating_seconds=1.0)
    figures = rating_figures(answer, split)
    assert figures["within_1"] == pytest.approx(1 / 3, abs=0.02)
    assert figures["within_2"] == pytest.approx(2 / 3, abs=0.02)


def test_a_small_comparison_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings = small_ratings()
    quick = {
        "rating": {"engine": "bayes", "factors": 4, "interaction_features": 4, "burn_in": 4, "samples": 40},
        "ranking": {"engine": "ials", "factors": 4, "iterations": 4},
    }
    lines = [Line(DEFAULT.name, DEFAULT.peer, json.dumps(quick), None), BASELINE]
    results = {
        "machine": {},
        "versions": {},
        "datasets": {"small": quality.compare(ratings, [3], lines, limit=250)},
    }
    heads = results["datasets"]["small"]
    rating = {name: splits[0] for name, splits in heads["rating"].items()}
    ranking = {name: splits[0] for name, splits in heads["ranking"].items()}

    split = random_split(ratings, 3)
    mean = split.task.rating.mean(dtype=np.float64)
    assert rating[BASELINE.name]["mse"] == pytest.approx(np.mean((split.truth - mean) ** 2))
    assert rating[DEFAULT.name]["mse"] < rating[BASELINE.name]["mse"]
    assert 0 < rating[DEFAULT.name]["within_1"] < 1
    assert ranking[DEFAULT.name]["ndcg_at_10"] > ranking[BASELINE.name]["ndcg_at_10"]

    (tmp_path / "results.json").write_text(json.dumps(results))
    quality.main(["--tables", str(tmp_path / "results.json"), "--markdown"])
    printed = capsys.readouterr().out
    assert f"| {DEFAULT.name} | {rating[DEFAULT.name]['mse']:.4f} |" in printed
    assert "### small: rankings" in printed


def test_a_peer_that_fails_is_named_with_what_it_said(split: Split, tmp_path: Path) -> None:
    split.task.save(tmp_path / "task.npz")
    line = Line("broken", "mfserve", '{"rating": {"engine": "magic"}}', None)
    with pytest.raises(PeerFailed, match=r"broken: exit code 1\n(.|\n)*magic"):
        run(line, tmp_path / "task.npz", tmp_path, limit_seconds=60)


def test_runs_are_put_together_by_line_and_seed() -> None:
    def run(line: Line, seed: int) -> dict[str, Any]:
        heads = {"rating": {line.name: [{"seed": seed}]}, "ranking": {}}
        return {"machine": {}, "versions": {"mfserve": "0"}, "datasets": {"small": heads}}

    whole = merged([run(BASELINE, 0), run(DEFAULT, 1), run(DEFAULT, 0)])
    rating = whole["datasets"]["small"]["rating"]
    assert list(rating) == [DEFAULT.name, BASELINE.name]
    assert rating[DEFAULT.name] == [{"seed": 0}, {"seed": 1}]
    with pytest.raises(ValueError, match="several runs"):
        merged([run(DEFAULT, 0), run(DEFAULT, 0)])


def test_every_peer_has_its_module_and_make_peers_its_environment() -> None:
    root = Path(quality.__file__).parents[1]
    recipe = re.search(r"^PEERS := (.*)$", (root / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    searched = {one.peer for one in EXACT if one.peer is not None}
    compared = {line.peer for line in LINES if line.package is not None}
    assert recipe[1].split() == sorted(compared | searched | {"mlserver"})  # the last one serves
    for line in LINES:
        assert (root / "benchmarks" / "peers" / f"{MODULES.get(line.peer, line.peer)}.py").is_file()


def test_the_best_of_implicits_settings_is_chosen_on_each_split() -> None:
    settings = [line.name for line in LINES if line.peer == "implicit"]
    assert len(settings) == 5
    figures = {"recall_at_20": 0.0, "coverage_at_10": 0.0, "seconds": 1.0}
    ranking = {name: [{"ndcg_at_10": 0.1} | figures] * 2 for name in settings}
    ranking[settings[1]] = [{"ndcg_at_10": 0.3} | figures, {"ndcg_at_10": 0.0} | figures]
    (table,) = tables({"datasets": {"small": {"rating": {}, "ranking": ranking}}})
    assert table.rows[-1][0] == "implicit ALS, the best of these on each split"
    assert table.rows[-1][4] == "0.3000 0.1000"
    assert markdown([table]).count("\n| ") == len(settings) + 2
