"""What the packaging tests share: the cached wheels, and what was built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
def layers() -> Path:
    """The folder of what was installed by the locks."""
    return wheelhouse.layers()


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder
