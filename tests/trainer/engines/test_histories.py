from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_trainer.engines import histories as module
from mfserve_trainer.engines.histories import histories

OTHERS = 40


counts_per_row = st.lists(st.integers(0, OTHERS), min_size=1, max_size=60).filter(any)
seeds = st.integers(0, 2**32 - 1)


@given(counts_per_row, seeds)
def test_batches_hold_every_rating_once_and_little_else(counts: list[int], seed: int) -> None:
    row, other, value = _ratings(counts, seed)
    made = histories(row, other, value, len(counts), OTHERS, width=3)
    np.testing.assert_array_equal(made.counts, counts)

    # A row's solution is its place among the batches' rows, so that place tells which row a batch's row is.
    found: dict[tuple[int, int], float] = {}
    row_at = {place: index for index, place in enumerate(made.place.numpy()[:-1]) if counts[index]}
    place = 0
    for batch in made.batches:
        others, values, sizes = batch.others.numpy(), batch.values.numpy(), batch.counts.numpy().astype(int)
        assert others.shape == values.shape == (len(sizes), sizes.max())
        assert list(batch.rows.numpy()) == [row_at[place + line] for line in range(len(sizes))]
        assert sizes.min() >= module.SHORTEST_SHARE * sizes.max()
        for line, size in enumerate(sizes):
            found |= {
                (row_at[place], o): v for o, v in zip(others[line, :size], values[line, :size], strict=True)
            }
            assert (others[line, size:] == OTHERS).all()
            assert (values[line, size:] == 0).all()
            place += 1
    assert found == dict(zip(zip(row, other, strict=True), value, strict=True))
    assert place == len(row_at)


@given(counts_per_row, seeds)
def test_assemble_puts_each_solution_at_its_row_and_zero_elsewhere(counts: list[int], seed: int) -> None:
    row, other, _ = _ratings(counts, seed)
    made = histories(row, other, row.astype(np.float32) + 1, len(counts), OTHERS, width=3)
    side = made.assemble(tf.stack([batch.values[:, 0], batch.counts], axis=1) for batch in made.batches)
    expected = [(index + 1, count) if count else (0, 0) for index, count in enumerate(counts)]
    np.testing.assert_array_equal(side.numpy(), [*expected, (0, 0)])


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (2, [(2, 40), (1, 40), (2, 1)]),  # long histories: their gathered vectors fill a batch
        (8, [(1, 40), (1, 40), (1, 40), (2, 1)]),
        (12, [(1, 40), (1, 40), (1, 40), (1, 1), (1, 1)]),  # short ones: their Gram matrices do
    ],
)
def test_a_batch_is_bounded_in_memory(
    width: int, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_FLOATS", 200)
    row, other, value = _ratings([40, 40, 40, 1, 1], seed=0)
    made = histories(row, other, value, 5, OTHERS, width=width)
    assert [tuple(batch.others.shape) for batch in made.batches] == expected


def _ratings(
    counts: list[int], seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Row u has counts[u] ratings of distinct others; the rows come in random order."""
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(len(counts)), counts)
    other = np.concatenate([random.permutation(OTHERS)[:count] for count in counts])
    order = random.permutation(len(row))
    value = random.normal(size=len(row)).astype(np.float32)
    return row[order].astype(np.int32), other[order].astype(np.int32), value
