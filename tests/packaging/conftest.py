"""What the packaging tests share: the wheels, what was built, and a fresh environment to install into."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.packaging import wheelhouse
from tests.packaging.imports import ROOT


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder with every wheel that the images are made of."""
    return wheelhouse.filled(
        ROOT / "requirements" / f"{name}.lock" for name in ("build", "server", "trainer")
    )


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that is gone after the test, also where pytest keeps others: TensorFlow is large."""
    with TemporaryDirectory(prefix="mfserve-packaging-") as folder:
        yield Path(folder)


@pytest.fixture
def make_environment(scratch: Path) -> Callable[[str], Path]:
    """Makes an empty virtual environment of the given name and returns its Python."""

    def make(name: str) -> Path:
        subprocess.run([sys.executable, "-m", "venv", str(scratch / name)], check=True)
        return scratch / name / "bin" / "python"

    return make
