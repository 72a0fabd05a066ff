"""The id tables against a plain dict."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import IdTable, StringTable
from mfserve_registry.snapshot.ids import MAX_ID_BYTES, slot_count

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_ID_BYTES // 4)
ids = texts.filter(bool)
anything = st.text(max_size=20)  # lone surrogates included


@settings(deadline=None)
@given(st.lists(ids, min_size=1, max_size=60, unique=True), st.lists(anything, max_size=20))
def test_finds_what_it_holds_and_nothing_else(held: list[str], others: list[str]) -> None:
    table = IdTable.build(held, field="user_ids")
    position = {text: index for index, text in enumerate(held)}
    asked = held + others
    assert [table.index(text) for text in asked] == [position.get(text, -1) for text in asked]
    assert table.indices(asked).tolist() == [position.get(text, -1) for text in asked]
    assert table.indices(asked).dtype == np.int32
    many = asked * 100  # are looked up otherwise
    assert table.indices(many).tolist() == [position.get(text, -1) for text in many]
    assert list(table) == held
    assert len(table) == len(held)


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=60), st.data())
def test_takes_strings_by_index(strings: list[str], data: st.DataObject) -> None:
    table = StringTable.build(strings, field="item_titles")
    wanted = data.draw(st.lists(st.integers(0, len(strings) - 1)))
    assert table.take(np.array(wanted, dtype=np.int32)) == [strings[index] for index in wanted]
    assert list(table) == strings


def test_prefixes_of_each_other_are_different_ids() -> None:
    held = ["a" * length for length in range(1, 200)]
    table = IdTable.build(held, field="user_ids")
    assert [table.index(text) for text in held] == list(range(199))
    assert table.index("") == -1
    assert table.index("a" * 200) == -1


def test_a_null_character_and_a_different_normal_form_are_different_ids() -> None:
    held = ["a", "a\0", "\0a", "é", "e\u0301"]
    table = IdTable.build(held, field="user_ids")
    assert [table.index(text) for text in held] == [0, 1, 2, 3, 4]


def colliding(count: int) -> Sequence[str]:
    """Up to 256 distinct ids of 40 letters that have one crc32.

    crc32 is affine over bits: for texts of one length crc(a ^ b ^ c) = crc(a) ^ crc(b) ^ crc(c). So letter pairs that
    differ in one bit make a linear system of 32 equations in 40 unknowns, and its null space leaves the sum as it is.
    """
    base = b"p" * 40  # 'p' and 'q' differ in bit 0
    zero = crc32(base)
    basis: dict[int, tuple[int, int]] = {}  # highest bit: effect on the crc, letters that make it
    null: list[int] = []
    for place in range(40):
        effect = crc32(base[:place] + b"q" + base[place + 1 :]) ^ zero
        letters = 1 << place
        while effect:
            high = effect.bit_length()
            if high not in basis:
                basis[high] = (effect, letters)
                break
            effect ^= basis[high][0]
            letters ^= basis[high][1]
        else:
            null.append(letters)
    assert len(null) >= 8
    found = []
    for choice in range(count):
        letters = 0
        for bit, change in enumerate(null):
            if choice >> bit & 1:
                letters ^= change
        found.append("".join("q" if letters >> place & 1 else "p" for place in range(40)))
    return found


def test_ids_of_one_hash_are_told_apart() -> None:
    held = colliding(200)
    assert len(set(held)) == 200
    assert len({crc32(text.encode()) for text in held}) == 1
    table = IdTable.build(held[:100], field="user_ids")
    assert [table.index(text) for text in held] == [*range(100), *[-1] * 100]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000))
def test_half_of_the_slots_stay_empty(count: int) -> None:
    table = IdTable.build([str(number) for number in range(count)], field="user_ids")
    assert len(table.slots) == slot_count(count)
    assert len(table.slots) & (len(table.slots) - 1) == 0
    assert np.sort(table.slots[table.slots >= 0]).tolist() == list(range(count))
    assert 2 * count <= len(table.slots) < 4 * max(count, 2)


@pytest.mark.parametrize(
    ("held", "field"),
    [
        (["a", ""], "user_ids[1]"),
        (["a", "b", "a"], "user_ids[2]"),
        (["\ud800"], "user_ids[0]"),
        (["x" * (MAX_ID_BYTES + 1)], "user_ids[0]"),
        (["é" * 129], "user_ids[0]"),
    ],
)
def test_refuses_what_is_no_id(held: list[str], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        IdTable.build(held, field="user_ids")
    assert caught.value.field == field


def test_accepts_an_id_of_the_greatest_length() -> None:
    assert IdTable.build(["é" * 128], field="user_ids").index("é" * 128) == 0


def test_refuses_an_id_that_is_no_string() -> None:
    numbers: list[str] = [7]  # type: ignore[list-item]  # what a careless caller passes
    with pytest.raises(InvalidArgument, match="must be a string, not int"):
        IdTable.build(numbers, field="item_ids")


@pytest.mark.parametrize("index", [-1, 2, 2**40])
def test_an_index_outside_is_an_error(index: int) -> None:
    table = StringTable.build(["a", "b"], field="item_titles")
    with pytest.raises(IndexError):
        table[index]
    with pytest.raises(IndexError):
        table.take(np.array([0, index]))
