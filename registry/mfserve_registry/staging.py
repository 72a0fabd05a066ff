"""Files that are being written, before they get their names."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path


def clean(folder: Path, older_than: timedelta) -> None:
    """Removes the files of ``folder`` that nobody has written to for so long: their writers are gone.

    By the file system's clock and not the registry's, which tests may set.
    """
    limit = time.time() - older_than.total_seconds()
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except FileNotFoundError:  # its writer has ended after all
            continue
