"""MovieLens 100K out of a package index, for machines that reach one and not the data set's own site."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from mfserve_trainer.datasets.download import Progress, RemoteFile, Unavailable, obtain

REQUIREMENT = "recbole==1.2.1"
WHEEL = RemoteFile(
    name="recbole-1.2.1-py3-none-any.whl",
    url="",  # pip knows where
    size=2_130_151,
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
_PIP_SECONDS = 120


def fetch_wheel(folder: Path, *, progress: Progress) -> Path:
    """RecBole's wheel in the cache folder, by pip unless a valid copy is there. It is never installed.

    Raises:
        Unavailable: pip failed or is not there, or the bytes are not the expected ones.
    """
    return obtain(WHEEL, folder, lambda: _download_with_pip(progress), progress=progress)


def _download_with_pip(progress: Progress) -> Generator[bytes]:
    progress(f"taking {REQUIREMENT} from the package index", 0, WHEEL.size)
    with tempfile.TemporaryDirectory(prefix="mfserve-") as folder:
        # pip reads the user's own configuration, so a mirror that is set up there is used.
        command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--dest", folder]
        command += [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]
        command += ["--timeout", "10", "--retries", "1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PIP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"pip download {REQUIREMENT} took more than {_PIP_SECONDS} s") from error
        wheel = Path(folder) / WHEEL.name
        if done.returncode != 0 or not wheel.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise Unavailable(f"pip download {REQUIREMENT} failed: {said[-1] if said else done.returncode}")
        yield wheel.read_bytes()
    progress(f"{REQUIREMENT} is in the cache", WHEEL.size, WHEEL.size)
