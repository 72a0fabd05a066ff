"""docs/sdk.md is run, block by block, against mfserve's own server and trainer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfserve import Client
from mfserve.errors import NotFoundError
from mfserve_registry import Registry
from mfserve_registry.snapshot import SnapshotContent
from tests.server.certificates import Authority
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.trainer.engines.synthetic import low_rank
from tests.trainer.samples import write_csv
from tests.trainer.trainers import running_trainer

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def trained_on(home: Path, registry: Registry, tmp_path: Path) -> Iterator[Path]:
    """Ratings, of user 196 too, in a file that a running trainer may read, alone in its folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    with running_trainer(home, folder):
        ratings = low_rank()[0]
        ids = np.array([str(150 + user) for user in range(len(ratings.user_ids))], dtype=object)
        yield write_csv(replace(ratings, user_ids=ids), folder / "ratings.csv")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("a-token")
    return file


async def test_every_example_runs(
    trained_on: Path,
    serve: MakeServer,
    registry: Registry,
    content: SnapshotContent,
    token: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 10
    roots = Authority(tmp_path / "authority").roots
    publish(registry, content=content)
    server = await serve(data_roots=(trained_on.parent,))
    names: dict[str, Any] = {}

    def run() -> None:
        for text in blocks:
            here = text.replace("127.0.0.1:50051", server.address)
            here = here.replace("/run/secrets/mfserve", str(token)).replace(
                "/etc/mfserve/roots.pem", str(roots)
            )
            here = here.replace('"movielens-100k"', repr(str(trained_on))).replace("trials=20", "trials=2")
            exec(compile(here, str(PAGE), "exec"), names)  # noqa: S102 - our own page
        with Client(server.address) as client:
            for job in client.list_jobs():
                if job.job_id != names["unwanted"].job_id:
                    with suppress(NotFoundError):  # the page deletes a version, which nobody may need by then
                        client.get_job(job.job_id).result(timeout=120)

    await asyncio.to_thread(run)
    assert "INVALID_FIELD" in capsys.readouterr().out
    assert names["found"].served_version.version == names["indexed"].version
    assert names["indexed"].spec.index.recall == 0.9
