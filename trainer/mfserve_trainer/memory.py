"""Gives freed memory back to the operating system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_free_memory() -> None:
    """Lets the C library return what has been freed but is kept for later; does nothing where it is not glibc.

    A fit cuts its histories into thousands of arrays that are too small to be returned one by one when they are freed:
    20 bytes a rating, which the next stage would need on top of its own, as it allocates in other sizes.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
