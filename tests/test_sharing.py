"""What is said of files by name is said of files that there are."""

from __future__ import annotations

from pathlib import Path

from tests.sharing import LONG, SHORT, TOGETHER, shared_by, turn

ROOT = Path(__file__).parents[1]


def test_every_name_is_that_of_a_file_a_folder_or_a_group() -> None:
    named = {*TOGETHER, *SHORT, *LONG} - set(TOGETHER.values())
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_long_files_come_first_and_short_ones_last() -> None:
    tests = [
        f"{file}::test[a::b]" for file in ("tests/scoring/test_topk.py", "tests/other.py", LONG[1], *TOGETHER)
    ]
    assert sorted(tests, key=turn) == [*tests[3:], tests[2], tests[1], tests[0]]
    assert {shared_by(test) for test in tests[3:]} == {"movielens"}
