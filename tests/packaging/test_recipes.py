"""The recipes: what the documents and CI call exists, and a machine without Python gets one clear line."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging.imports import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # `make test` is itself a make: the outer one's flags are not for this one.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--directory", str(ROOT), *arguments],
        env=outside,
        capture_output=True,
        text=True,
        check=False,
    )


def test_promised_targets_exist() -> None:
    assert {
        "setup",
        "demo",
        "test",
        "storm",
        "peers",
        "lint",
        "generate",
        "check-generated",
        "lock",
        "clean",
    } <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_targets_that_exist(document: Path) -> None:
    named = set(
        re.findall(r"(?:`|^\s*(?:\$ )?)make ([a-z][a-z-]*)", document.read_text("utf-8"), re.MULTILINE)
    )
    assert named <= TARGETS


def test_help_tells_every_target() -> None:
    told = set(re.findall(r"^make ([a-z-]+)", make("help").stdout, re.MULTILINE))
    assert told | {"help"} == TARGETS


def test_ci_runs_the_linters_the_stubs_check_and_the_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "set -euo pipefail" in script
    assert [line for line in script.splitlines() if line.startswith("make ")] == [
        "make lint",
        "make check-generated",
        "make test",
    ]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    done = make("setup", "PYTHON=", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "mfserve needs Python 3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_nothing_is_installed_again_while_nothing_has_changed(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / ".installed").touch()
    done = make("--dry-run", "setup", f"VENV={environment}")
    assert "pip" not in done.stdout
    assert done.returncode == 0
