"""The source distribution, the wheel made from it, and what a caller of the service must install."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.packaging import wheelhouse
from tests.packaging.imports import PACKAGES, ROOT

pytestmark = pytest.mark.timeout(900)  # the first run downloads

BASE_INSTALL = """
import importlib.util, json, sys
import mfserve
loaded = sorted({name.partition(".")[0] for name in sys.modules})
heavy = ["numpy", "pandas", "pyarrow", "tensorflow", "sqlalchemy"]
print(json.dumps({"loaded": loaded, "installed": [name for name in heavy if importlib.util.find_spec(name)]}))
"""


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (found,) = distributions.glob("mfserve-*.whl")
    return found


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_each_package_whole_and_typed(content: set[str], package: str) -> None:
    folder = PACKAGES[package]
    sources = {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.suffix in {".py", ".pyi", ".html", ".css"}
    }
    assert sources <= content
    assert f"{package}/py.typed" in content


def test_wheel_holds_the_migrations(content: set[str]) -> None:
    migrations = {name for name in content if name.startswith("mfserve_registry/migrations/versions/")}
    assert migrations


def test_wheel_holds_the_five_packages_and_nothing_else(content: set[str]) -> None:
    tops = {name.partition("/")[0] for name in content}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in content if "test" in Path(name).name and name.endswith(".py")]


def test_source_distribution_can_run_the_tests(distributions: Path) -> None:
    (found,) = distributions.glob("mfserve-*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "pyproject.toml", "LICENSE", "README.md", "requirements/dev.lock"} <= names
    assert "tests/packaging/test_distribution.py" in names
    assert any(name.startswith("protos/mfserve/v1/") for name in names)
    hidden = {name for name in names if name.startswith(".")} - {".gitignore"}
    assert not hidden | {name for name in names if "__pycache__" in name}


@pytest.fixture(scope="module")
def caller(wheel: Path, wheels: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs a program of an environment in which mfserve is installed without any extra."""
    environment = wheelhouse.offline(wheels)
    with TemporaryDirectory(prefix="mfserve-packaging-") as folder:
        programs = Path(folder) / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(programs / "python"),
        ]  # quicker than one of its own
        subprocess.run([*pip, "install", str(wheel)], env=environment, check=True)

        def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            command: list[str | Path] = [programs / program, *arguments]
            return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)

        yield run


def test_a_caller_installs_neither_numpy_nor_tensorflow(
    caller: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    told = json.loads(caller("python", "-c", BASE_INSTALL).stdout)
    assert told["installed"] == []
    assert "mfserve" in told["loaded"]
    assert not {"mfserve_registry", "mfserve_scoring", "mfserve_server", "mfserve_trainer"} & set(
        told["loaded"]
    )


def test_a_caller_has_the_command_line(caller: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = caller("mfserve", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "recommend" in done.stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("serve", "server"),
        ("export movies 1", "server"),
        ("import movies-1.mfserve", "server"),
        ("trainer", "trainer"),
        ("datasets", "trainer"),
    ],
)
def test_a_command_whose_extra_is_missing_names_the_extra(
    caller: Callable[..., subprocess.CompletedProcess[str]], command: str, extra: str
) -> None:
    done = caller("mfserve", *command.split())
    assert done.returncode == 1
    assert f"mfserve[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_licence_and_readme_go_with_the_wheel(content: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in content)
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
