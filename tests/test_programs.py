"""What becomes of a test whose program is missing."""

from __future__ import annotations

import pytest

from tests.programs import REQUIRE, needs


def test_a_missing_program_skips_the_test_unless_none_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE, raising=False)
    assert needs("sh").args == (False,)
    assert needs("sh", "no-such-program").args == (True,)
    monkeypatch.setenv(REQUIRE, "1")
    assert needs("sh").args == (False,)
    with pytest.raises(RuntimeError, match="not installed: no-such-program"):
        needs("sh", "no-such-program")
