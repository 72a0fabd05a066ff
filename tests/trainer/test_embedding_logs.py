"""The embedding projector's files, as TensorBoard itself reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer import embedding_logs
from mfserve_trainer.assemble import assemble
from tests.trainer.engines.synthetic import random_table
from tests.trainer.samples import random_heads


def content(*, ranking: bool = True) -> SnapshotContent:
    ratings = random_table(3, users=8, items=12)
    rating_head, ranking_head = random_heads(3, 8, 12)
    made = assemble(ratings, rating_head, ranking_head if ranking else None, facts={"spec": {"seed": 0}})
    titles = ["a\tb\nc\u2028d", "", *(f"Film {item}" for item in range(2, 12))]
    return replace(made, item_titles=titles)


def tensorboard(logs: Path) -> Any:
    """The projector plug-in over a folder of logs, asked without a network: ``get(route, run, name)``."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    plugin = ProjectorPlugin(
        TBContext(logdir=str(logs), data_provider=MultiplexerDataProvider(multiplexer, str(logs)))
    )
    apps = plugin.get_plugin_apps()

    def get(route: str, **query: str) -> Any:
        response = Client(apps[route]).get(route, query_string=query)
        assert response.status_code == 200, response.text
        return response

    return get


def test_tensorboard_shows_the_items_of_both_heads(tmp_path: Path) -> None:
    made = content()
    embedding_logs.write(made, tmp_path / "job" / "attempt-1")
    get = tensorboard(tmp_path / "job")
    run = "attempt-1/embeddings"
    assert run in get("/runs").json
    found = {one["tensorName"]: one for one in get("/info", run=run).json["embeddings"]}
    assert list(found) == ["ranking head: items", "rating head: items"]
    order = np.argsort(-made.item_counts, kind="stable")
    assert made.ranking is not None
    assert made.rating is not None
    for name, head in (("ranking head: items", made.ranking), ("rating head: items", made.rating)):
        assert found[name]["tensorShape"] == list(head.item_factors.shape)
        sent = np.frombuffer(get("/tensor", run=run, name=name).data, dtype=np.float32)
        assert sent.reshape(-1, 3) == pytest.approx(head.item_factors[order], rel=1e-5)
        header, *lines = get("/metadata", run=run, name=name).data.decode().split("\n")
        assert header.split("\t") == ["title", "id", "ratings", "mean rating"]
        rows = [line.split("\t") for line in lines if line]
        assert [row[1] for row in rows] == [made.item_ids[item] for item in order]
        assert [int(row[2]) for row in rows] == made.item_counts[order].tolist()
        titles = {row[1]: row[0] for row in rows}
        assert titles[made.item_ids[0]] == "a b c d"
        assert titles[made.item_ids[1]] == made.item_ids[1]
        assert titles[made.item_ids[2]] == "Film 2"


def test_a_version_without_a_ranking_head_has_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_logs, "MOST_ITEMS", 5)
    embedding_logs.write(content(ranking=False), tmp_path)
    (found,) = tensorboard(tmp_path)("/info", run="embeddings").json["embeddings"]
    assert (found["tensorName"], found["tensorShape"]) == ("rating head: items", [5, 3])
