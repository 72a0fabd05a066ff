"""``benchmarks.topk`` on small matrices: it is the procedure that is tested, not the speed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import topk
from benchmarks.search.contest import Times, contest, disagreement
from benchmarks.search.contestants import BARE, EXACT, OURS, TOP

OWN = [one for one in EXACT if one.peer is None]


def test_a_small_contest_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "figures.json"
    topk.main(
        ["--only", "random", "--quick", "--runs", "2", "--threads", "1", "--markdown", "--json", str(kept)]
    )
    rows = json.loads(kept.read_text("utf-8"))["rows"]
    assert [row["batch"] for row in rows] == [1, topk.BATCH]
    shape = topk.SMALL[0]
    for row, calls in zip(rows, (shape.single, shape.batches), strict=True):
        assert {one.name for one in OWN} <= set(row["seconds"])
        assert [len(turn) for turn in row["turns"][OURS]] == [calls, calls]
        assert 0 < row["seconds"][OURS] <= row["p90_seconds"][OURS]
    printed = capsys.readouterr()
    assert f"| random, {shape.items} x {shape.factors}, {topk.BATCH} | " in printed.out
    absent = sorted({one.name for one in EXACT} - set(rows[0]["seconds"]))
    assert printed.err.startswith(f"left out: {', '.join(absent)}\n" if absent else "random: ")


def test_contestants_find_what_sorting_all_scores_finds(tmp_path: Path) -> None:
    topk.Shape(120, 6, 1, 1).write(tmp_path)
    items, users = np.load(tmp_path / "items.npy"), np.load(tmp_path / "users.npy")
    times = contest(tmp_path, OWN, threads=1, calls={5: 1}, runs=2)[5]
    assert times[BARE].found == [[], []]
    assert disagreement(times, OURS) is None
    for run in range(2):
        scores = users[5 * run : 5 * run + 5].astype(np.float64) @ items.T
        assert times[OURS].found[run] == np.argsort(-scores, axis=1)[:, :TOP].tolist()


def test_whoever_finds_other_items_is_named() -> None:
    ours, same, other = (Times([[1.0]], [[row]]) for row in ([1, 2], [2, 1], [1, 3]))
    nobody = Times([[1.0]], [[]])
    assert disagreement({"ours": ours, "same": same, "nobody": nobody}, "ours") is None
    assert disagreement({"ours": ours, "other": other}, "ours") == "other"
