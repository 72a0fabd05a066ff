"""The report of a real training, from the trainer through the server and the command line into a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mfserve import Client
from tests.browser import browser, complaints, figure_of, needs_browser, open_page, point_at, wait_for_text
from tests.integration.conftest import MovieLens


@pytest.fixture(scope="module")
def page(movielens: MovieLens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    command = [sys.executable, "-m", "mfserve", "report", "movies", "--output", str(file)]
    subprocess.run([*command, "--address", movielens.service.address], check=True, timeout=60)
    return file


def test_the_page_is_the_version_s(page: Path, client: Client, movielens: MovieLens) -> None:
    assert page.read_bytes() == client.get_artifact("movies", "report.html").data
    text = page.read_text("utf-8")
    assert "<h1>movies</h1>" in text
    assert movielens.job.job_id in text
    assert movielens.version.digest in text
    assert "could not be drawn" not in text
    assert len(text) < 2_000_000


@needs_browser
def test_a_person_sees_the_films(page: Path) -> None:
    with browser() as driver:
        open_page(driver, page)
        point_at(driver, figure_of(driver, "Map of the items"), 0)
        wait_for_text(driver, "Star Wars (1977)")
        assert complaints(driver) == []


def test_the_logs_hold_the_embeddings(movielens: MovieLens) -> None:
    run = movielens.service.home / "logs" / movielens.job.job_id / "attempt-1" / "embeddings"
    assert len((run / "ranking-items.tsv").read_text().splitlines()) == 1682
