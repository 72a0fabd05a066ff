"""The recipes: what the documents and CI call exists, and a machine without Python gets one clear line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.packaging.imports import PROJECT_VERSION, ROOT
from tests.packaging.test_locks import pins

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


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
        "sbom",
        "audit",
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


def test_the_bill_of_materials_is_the_lock_and_comes_out_the_same(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / ".installed").touch()
    (environment / "bin").symlink_to(sysconfig.get_path("scripts"))
    for turn in ("one", "two"):
        # To hold it against the schema takes ten times as long as to write it.
        done = make("sbom", f"VENV={environment}", f"SBOM={tmp_path / turn}", "ARGS=--no-validate")
        assert done.returncode == 0, done.stderr
    for image in ("server", "trainer"):
        first, second = (tmp_path / turn / f"{image}.cdx.json" for turn in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        bill = json.loads(first.read_text("utf-8"))
        assert bill["bomFormat"] == "CycloneDX"
        assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
            "mfserve",
            PROJECT_VERSION,
        )
        listed = {(canonicalize_name(part["name"]), Version(part["version"])) for part in bill["components"]}
        locked = pins(ROOT / "requirements" / f"{image}.lock")
        assert listed == {(name, version) for name, versions in locked.items() for version in versions}


def test_the_audit_asks_about_what_the_images_have() -> None:
    command = make("--dry-run", "audit").stdout
    assert all(f"--requirement requirements/{image}.lock" in command for image in ("server", "trainer"))
