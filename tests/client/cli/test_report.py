"""``mfserve report`` against a real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Artifact, Registry
from tests.client.cli.conftest import Run, command, environment
from tests.integration.service import RunningService, running_service
from tests.server.samples import PICTURE, publish

PAGE = Artifact("report.html", "text/html", b"<!DOCTYPE html>" + bytes(range(256)) * 500)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("report") / "home"
    with Registry.open(home) as registry:
        publish(registry, "movies", seed=1, artifacts=[PICTURE, PAGE])
        publish(registry, "movies", seed=2)
    with running_service(home, "--no-trainer") as service:
        yield service


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("version", [[], ["production"], ["1"]], ids=["default", "alias", "number"])
def test_the_page_is_written_under_the_version_s_name(run: Run, here: Path, version: list[str]) -> None:
    finished = run("report", "movies", *version)
    assert finished.code == 0, finished.err
    assert finished.out.startswith("report of movies version 1 written to movies-1-report.html (")
    assert (here / "movies-1-report.html").read_bytes() == PAGE.data


def test_the_page_is_written_where_it_is_wanted(run: Run, here: Path) -> None:
    finished = run("report", "movies", "--output", "page.html", "--json")
    told = json.loads(finished.out)
    assert told == {"path": "page.html", "model": "movies", "version": 1, "size_bytes": len(PAGE.data)}
    assert (here / "page.html").read_bytes() == PAGE.data


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["movies", "latest"], "version 2 of movies has no report: an older release trained it"),
        (["movies", "7"], "`mfserve versions MODEL` lists the versions."),
        (["books"], "`mfserve models` lists the models."),
        (["movies", "--output", "no/such/folder/page.html"], "cannot write no/such/folder/page.html"),
    ],
)
def test_what_cannot_be_had_is_one_line(run: Run, here: Path, arguments: list[str], said: str) -> None:
    finished = run("report", *arguments)
    assert (finished.code, finished.out, finished.err.count("\n")) == (1, "", 1)
    assert said in finished.err
    assert list(here.iterdir()) == []


def test_the_page_is_opened_in_the_browser(service: RunningService, here: Path) -> None:
    browser = here / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    finished = started(service, "--open", BROWSER=f"{browser} %s", TMPDIR=str(here))
    assert finished.returncode == 0, finished.stderr
    address = (here / "opened").read_text().strip()
    assert address.startswith(f"file://{here}/mfserve-")
    assert address.endswith("/movies-1-report.html")
    assert Path(address.removeprefix("file://")).read_bytes() == PAGE.data
    assert address.removeprefix("file://") in finished.stdout


def test_without_a_browser_the_page_is_kept_and_named(service: RunningService, here: Path) -> None:
    finished = started(service, "--open", "--output", "page.html", PATH=str(here))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "error: there is no browser to open page.html with\n"
    assert (here / "page.html").read_bytes() == PAGE.data


def started(service: RunningService, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Python looks for browsers once a process."""
    known = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}
    variables = environment(service.address, **more)
    return subprocess.run(
        command("report", "movies", *arguments),
        env={name: value for name, value in variables.items() if name not in known - more.keys()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
