"""What the README shows works as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from mfserve import Client
from tests.integration.conftest import TRAIN, MovieLens, environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def trainings(movielens: MovieLens) -> set[tuple[int, str]]:
    """Number and digest of each version of ``movies``."""
    with Client(movielens.service.address) as client:
        return {(version.version, version.digest) for version in client.list_versions("movies")}


def test_python_snippets_run(movielens: MovieLens, tmp_path: Path) -> None:
    assert len(blocks("python")) == 3
    before = trainings(movielens)
    for snippet in blocks("python"):
        program = snippet.replace("127.0.0.1:50051", movielens.service.address)
        assert program != snippet
        finished = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.strip()
    # The first one trains as the service was trained: the same training again gives the same digest.
    (again,) = trainings(movielens) - before
    assert again[1] == movielens.version.digest


def test_command_lines_run(movielens: MovieLens, tmp_path: Path) -> None:
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 15
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    # The service was trained by the first one.
    assert lines[0] == TRAIN
    outcomes = [movielens.command]
    for line in lines[1:]:
        command = shlex.split(line.replace("127.0.0.1:50051", movielens.service.address))
        outcomes.append(
            subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=environment(movielens.service),
                timeout=120,
                check=False,
            )
        )
    for line, finished in zip(lines, outcomes, strict=True):
        assert finished.returncode == 0, (line, finished.stderr)
        assert finished.stdout.strip(), line


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
