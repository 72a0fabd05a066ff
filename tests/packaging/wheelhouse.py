"""A folder of wheels that are in the locks, so that installing can be tried again and again without a network.

It lies in the user's cache folder. The first run fills it (about 800 MB, nearly all of it TensorFlow; what pip has
in its own cache is not downloaded again); later runs ask no index.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import platformdirs

UNUSED_SECONDS = 30 * 24 * 3600


def folder() -> Path:
    """Wheels of one Python on one platform cannot be installed by another: each has its folder."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-{sysconfig.get_platform()}"
    return platformdirs.user_cache_path("mfserve") / "wheels" / tag


def filled(locks: Iterable[Path]) -> Path:
    """Returns the folder after making sure that it holds every wheel of every one of ``locks``."""
    wheels = folder()
    wheels.mkdir(parents=True, exist_ok=True)
    # One of the test processes downloads, the others wait for it.
    with (wheels / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        for lock in locks:
            done = wheels / f"{lock.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()}.done"
            if not done.exists():
                _download(lock, wheels)
                done.touch()
    return wheels


def layers() -> Path:
    """The folder of environments that were installed from the wheels: unpacking TensorFlow takes a minute.

    Those that no run has asked for in a month, of a lock that has changed since, are removed.
    """
    folder = platformdirs.user_cache_path("mfserve") / "layers"
    folder.mkdir(parents=True, exist_ok=True)
    long_ago = time.time() - UNUSED_SECONDS
    for used in folder.glob("*.lock"):
        if used.stat().st_mtime < long_ago:
            shutil.rmtree(used.with_suffix(""), ignore_errors=True)
            used.unlink()
    return folder


def _download(lock: Path, wheels: Path) -> None:
    # Beside the folder first, then each by rename: an interrupted download leaves no half a wheel under its name.
    with tempfile.TemporaryDirectory(dir=wheels, prefix=".download-") as staging:
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--no-deps",
        ]
        command += ["--require-hashes", "--only-binary", ":all:", "--find-links", str(wheels)]
        subprocess.run([*command, "--requirement", str(lock), "--dest", staging], check=True)
        for wheel in Path(staging).iterdir():
            wheel.replace(wheels / wheel.name)


def offline(wheels: Path) -> dict[str, str]:
    """The environment in which pip takes ``wheels`` and nothing else, whatever this machine's configuration says."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "PYTHON", "VIRTUAL_"))
    }
    return kept | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        # Bytecode of TensorFlow takes longer to write than the package takes to install, and is not under test.
        "PIP_NO_COMPILE": "1",
        "PIP_QUIET": "1",
    }
