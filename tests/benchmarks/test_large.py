"""``benchmarks.large`` on small snapshots: it is the procedure that is tested, no time and no size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.large import PARTS, main
from benchmarks.load.snapshots import Size, random_content
from mfserve_registry.snapshot import Snapshot, write_snapshot


def test_random_snapshots_are_whole_and_repeatable(tmp_path: Path) -> None:
    size = Size(30, 200, factors=4)
    digests = {write_snapshot(tmp_path / str(number), random_content(size, seed=1)) for number in range(2)}
    (digest,) = digests
    snapshot = Snapshot.open(tmp_path / "0", digest)
    counts = np.diff(snapshot.rated.indptr)
    assert counts.min() >= 10
    assert counts.max() <= 20
    assert write_snapshot(tmp_path / "other", random_content(size, seed=2)) != digest


@pytest.mark.parametrize("part", PARTS)
def test_each_part_runs(part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", part, "--quick", "--markdown", "--json", str(tmp_path / "figures.json")])
    (figures,) = json.loads((tmp_path / "figures.json").read_text()).values()
    shown = capsys.readouterr().out
    assert shown.startswith("| ")
    assert "the limit" not in shown
    assert "10 s around" not in shown
    assert figures.get("failed", 0) == 0
    if part == "memory":
        assert 0 < max(figures["anonymous_bytes"]) < max(figures["pss_bytes"])
    if part == "swap":
        assert {len(swaps) for swaps in figures["models"].values()} == {1}
