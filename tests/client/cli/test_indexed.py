"""A version with an approximate index, among those without."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mfserve_registry import Registry
from mfserve_registry.snapshot.content import ItemIndex
from mfserve_trainer.indexing import build
from tests.client.cli.conftest import Run
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, publish


@pytest.fixture(autouse=True)
def _indexed(registry: Registry) -> None:
    made = random_content(4, users=30, items=500, factors=7)
    assert made.ranking is not None
    index = ItemIndex(build(made.ranking.item_factors, 20), 4, 0.8125)
    publish(registry, "mixed", seed=1)
    publish(registry, "mixed", content=replace(made, facts=FACTS, ranking=replace(made.ranking, index=index)))


def test_versions_tell_their_index_and_its_recall(run: Run) -> None:
    table = run("versions", "mixed").out
    assert table.count("faiss-ivf") == 1
    assert "0.812" in table
    told = json.loads(run("versions", "mixed", "--json").out)
    assert [version["index"] for version in told] == [{"kind": "faiss-ivf", "recall": 0.8125}, None]
    assert "a faiss-ivf index of recall 0.812, or exactly with --exact\n" in run("versions", "mixed", "2").out
    assert "faiss" not in run("versions", "mixed", "1").out
