"""Programs that some tests need and not every machine has. `.ci/run` installs them all, and lets no test be skipped."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE = "TESTS_REQUIRE_PROGRAMS"
"""Where this variable is set, a missing program is a failure."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test on a machine without these programs.

    Raises:
        RuntimeError: one is missing, and the environment says that none may be.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    reason = f"not installed: {', '.join(missing)}"
    if missing and os.environ.get(REQUIRE):
        raise RuntimeError(f"{reason}. Install what .ci/run lists, or unset {REQUIRE} to skip these tests.")
    return pytest.mark.skipif(bool(missing), reason=reason)
