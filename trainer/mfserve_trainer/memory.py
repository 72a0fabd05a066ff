"""What a fit takes of the machine's memory, and how it gives it back."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path

_OWN = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


def release_free_memory() -> None:
    """Lets the C library return what has been freed but is kept for later; does nothing where it is not glibc.

    A fit cuts its histories into thousands of arrays that are too small to be returned one by one when they are freed:
    20 bytes a rating, which the next stage would need on top of its own, as it allocates in other sizes.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def can_be_read() -> bool:
    """Whether this system tells what a process takes."""
    return Path("/proc/self/status").is_file()


def taken_by(pid: int) -> int:
    """Bytes of memory and swap that the process has to itself; 0 where it has ended.

    Not what it maps of files, libraries above all: the system takes that back when it needs it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(kilobytes) for kilobytes in _OWN.findall(status))
