from __future__ import annotations

from pathlib import Path

import pytest

from mfserve_registry.spec import KerasConfig
from mfserve_trainer.engines import fit_rating
from tests.trainer.engines.contract import ignore
from tests.trainer.engines.synthetic import random_table


def test_summary_and_graph_are_kept_and_a_failing_graphviz_costs_only_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings, config = random_table(seed=1), KerasConfig(epochs=1, biases=True)
    dot = tmp_path / "dot"
    for script, drawn in (("#!/bin/sh\nexit 3\n", None), ("#!/bin/sh\ncat\n", b"digraph")):
        dot.write_text(script)
        dot.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        fitted = fit_rating(ratings, config, seed=0, report=ignore)
        artifacts = {artifact.name: artifact for artifact in fitted.artifacts}
        graph = artifacts["rating-model-graph.dot"].data.decode()
        assert graph.startswith("digraph")
        for name in ("user_embedding", "item_embedding", "dot", "with_biases", "with_mean"):
            assert name in graph
            assert name in artifacts["rating-model-summary.txt"].data.decode()
        picture = artifacts.get("rating-model-graph.png")
        assert (picture and picture.data[: len("digraph")]) == drawn
