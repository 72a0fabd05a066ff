"""``benchmarks.serving`` on small models: it is the procedure that is tested, not the speed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.load import h2load, stats
from benchmarks.load.oracle import Arrays, WrongAnswer
from benchmarks.load.snapshots import Size, publish
from mfserve_registry import Registry
from tests.packaging.imports import ROOT
from tests.programs import needs

OUTPUT = """
finished in 1.00s, {rate} req/s, 900KB/s
requests: {done} total, 808 started, {done} done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
traffic: 900KB (900000) total, 100KB (100000) headers (space savings 90.00%), 160KB ({data}) data
"""


@needs("h2load", "taskset")
def test_every_section_measures_every_contestant(tmp_path: Path) -> None:
    # A process of its own, because it holds itself to one core.
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving",
        "--quick",
        "--markdown",
        "--json",
        str(tmp_path / "figures.json"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "left out: mlserver\n" in done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    for rows, least, rate in (
        (figures["unary"], 5, "rate"),
        (figures["bulk"]["movies, 64 users a message"], 6, "users_per_second"),
        (figures["sharing"], 4, "rate"),
    ):
        assert len(rows) == least
        for name, row in rows.items():
            assert len(row[rate]) == 1
            assert row[rate][0] > 0, name
            assert f"| {name} |" in done.stdout
    assert len(figures["overload"]["overload"]) == 2
    for overload in figures["overload"]["overload"].values():
        assert overload["answered_per_second"] > 0
        assert overload["health"]["checks"] > 0
        # gRPC's own refusal, where more than a thousand calls wait to be taken in.
        assert set(overload["otherwise"]) <= {"CANCELLED"}


def test_published_arrays_are_the_catalogues_and_wrong_answers_are_noticed(tmp_path: Path) -> None:
    with Registry.open(tmp_path) as registry:
        publish(registry, "random", Size(5, 40, factors=3, rated=24))
    arrays = Arrays.published(tmp_path, "random")
    assert arrays.user_factors.shape == (5, 3)
    for user in range(5):
        assert 12 <= len(np.unique(arrays.seen(user))) <= 24
    items = arrays.best("u3")
    assert len(items) == 10
    assert not {f"i{item}" for item in arrays.seen(3)} & set(items)
    scores = arrays.item_factors.astype(float) @ arrays.user_factors[3].astype(float)
    left = [scores[int(item[1:])] for item in items]
    others = [
        score for item, score in enumerate(scores) if f"i{item}" not in items and item not in arrays.seen(3)
    ]
    assert left == sorted(left, reverse=True)
    assert min(left) >= max(others)
    arrays.check("u3", items)
    for wrong in (items[:-1], items[::-1], arrays.best("u3", seen=True)):
        with pytest.raises(WrongAnswer, match="user u3"):
            arrays.check("u3", wrong)
    tied = replace(arrays, item_factors=np.ones_like(arrays.item_factors))
    assert tied.best("u0", 3, seen=True) == ["i0", "i1", "i2"]


@pytest.mark.parametrize(
    ("data", "succeeded", "failed", "good"),
    [
        (100 * 165, 100, 0, True),
        (104 * 165, 100, 0, True),  # answers that arrived when the time was over
        (99 * 165, 100, 0, False),  # one of the answers was a status without a message
        (120 * 165, 100, 0, False),  # replies of another length
        (100 * 165, 100, 1, False),
        (0, 0, 0, False),
    ],
)
def test_http_200_is_not_success(
    monkeypatch: pytest.MonkeyPatch, data: int, succeeded: int, failed: int, good: bool
) -> None:
    output = OUTPUT.format(rate="100.00", done=100, succeeded=succeeded, failed=failed, data=data)
    monkeypatch.setattr(h2load, "on_core", lambda core, *command: ["printf", "%s", output])
    call = h2load.Call("/x", b"", 160)
    if good:
        assert h2load.load("127.0.0.1:1", [call, call], 1.0) == (200, 200.0)
    else:
        with pytest.raises(h2load.CallsFailed):
            h2load.load("127.0.0.1:1", [call, call], 1.0)


def test_contestants_take_turns_and_ratios_are_of_the_same_run() -> None:
    turns: list[tuple[str, int]] = []

    def contestant(name: str, values: list[float]) -> stats.Figures:
        turns.append((name, len(values)))
        return {"rate": values[sum(turn[0] == name for turn in turns) - 1]}

    rows = stats.interleaved(
        3,
        {
            "a": lambda run: contestant("a", [10.0, 40.0, 30.0]),
            "b": lambda run: contestant("b", [5.0, 10.0, 20.0]),
        },
    )
    assert [name for name, _ in turns] == ["a", "b", "b", "a", "a", "b"]
    assert stats.ratio(rows, "a", "b", "rate") == 2.0
    assert stats.ratio(rows, "a", "nobody", "rate") is None
    assert stats.with_spread(rows["a"]["rate"]) == "30 ± 50 %"
    assert stats.table(["x"], [["1"]]) == "| x |\n| --- |\n| 1 |"
