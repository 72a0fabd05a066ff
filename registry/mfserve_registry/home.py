"""Where a registry is kept when nobody says."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_home() -> Path:
    """The user's data folder for mfserve: ``$XDG_DATA_HOME/mfserve``, by default ``~/.local/share/mfserve``.

    On macOS ``~/Library/Application Support/mfserve``. (The XDG base directory specification: a relative
    ``XDG_DATA_HOME`` counts as not set.)
    """
    chosen = Path(os.environ.get("XDG_DATA_HOME", ""))
    if chosen.is_absolute():
        return chosen / "mfserve"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mfserve"
    return Path.home() / ".local" / "share" / "mfserve"
