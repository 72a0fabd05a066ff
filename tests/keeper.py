"""Ends what a test process has started in the background, however that process ends."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = """
cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
while [ -e "$0/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$0"
"""


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder for a PostgreSQL with its data in ``data``; afterwards the server is stopped, and the folder gone.

    A small process sees to that. It reads the end of a pipe that this process alone holds, also where this process is
    killed, and is in a session of its own, so that what kills the group of this process passes it by.
    """
    # Not in pytest's folder, which is closed to others: as root, the server runs under a user of its own.
    folder = tempfile.mkdtemp(prefix="mfserve-postgres-")
    with subprocess.Popen(["sh", "-c", _SCRIPT, folder], stdin=subprocess.PIPE, start_new_session=True):
        yield Path(folder)
