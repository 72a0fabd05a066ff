"""``python -m mfserve_server.bound PARENT COMMAND...``: becomes the command, and is told to end when the parent dies.

For a child that does not watch a pipe as our own server processes do. Linux only: elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""See prctl(2). Stays in force across exec."""


def main() -> int:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # else it died before we asked to be told
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    return 1


if __name__ == "__main__":
    sys.exit(main())
