"""Columns are read however a peer may send them, and refused where they are not what was asked for."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve import errors
from mfserve._client.batches import columns_of, response_of
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.wire.v1 import recommendation_columns_pb2 as wire

FLOATS = st.floats(width=32)
NUMBERS = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw: st.DrawFn) -> pb.RecommendationBatch:
    """What a server could answer; numbers up to the largest, and bases that no release knows yet."""
    item_ids = draw(st.lists(st.text(max_size=3), max_size=4))
    counts = draw(st.lists(st.integers(0, 4 if item_ids else 0), max_size=5))
    total = sum(counts)

    def column(values: st.SearchStrategy[Any], length: int) -> list[Any]:
        return draw(st.lists(values, min_size=length, max_size=length))

    return pb.RecommendationBatch(
        batch_id=draw(st.integers(-(2**63), 2**63 - 1)),
        item_ids=item_ids,
        titles=column(st.text(max_size=3), len(item_ids)) if draw(st.booleans()) else [],
        item_indices=column(st.integers(0, max(0, len(item_ids) - 1)), total),
        scores=column(FLOATS, total),
        predicted_ratings=column(FLOATS, total) if draw(st.booleans()) else [],
        counts=counts,
        bases=column(st.integers(0, draw(st.sampled_from([3, 300]))), len(counts)),
    )


def unpacked(batch: pb.RecommendationBatch, *fields: str) -> bytes:
    """The batch serialized with the numbers of some columns one by one, as protobuf allows."""
    kept = pb.RecommendationBatch.FromString(batch.SerializeToString())
    parts = []
    for name in fields:
        number = pb.RecommendationBatch.DESCRIPTOR.fields_by_name[name].number
        form = "<I" if name in {"item_indices", "counts"} else "<f"
        parts += [bytes([number << 3 | 5]) + struct.pack(form, value) for value in getattr(batch, name)]
        kept.ClearField(name)  # type: ignore[arg-type] # one of its fields
    return kept.SerializeToString() + b"".join(parts)


@given(batch=batches(), data=st.data())
def test_columns_are_what_the_public_class_reads(batch: pb.RecommendationBatch, data: st.DataObject) -> None:
    names = ["item_indices", "scores", "predicted_ratings", "counts"]
    loose = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    sent = unpacked(batch, *loose)
    columns = columns_of(sent, len(batch.counts))
    assert columns.batch_id == batch.batch_id
    assert list(columns.item_ids) == list(batch.item_ids)
    assert list(columns.titles) == list(batch.titles)
    assert columns.item_indices == array("I", batch.item_indices)
    assert columns.scores.tobytes() == array("f", batch.scores).tobytes()
    assert columns.predicted_ratings.tobytes() == array("f", batch.predicted_ratings).tobytes()
    assert columns.counts == array("I", batch.counts)
    assert list(columns.bases) == list(batch.bases)


def test_a_column_in_parts_is_put_together() -> None:
    whole = answer()
    first = pb.RecommendationBatch(scores=whole.scores[:1], counts=whole.counts[:1])
    rest = pb.RecommendationBatch.FromString(whole.SerializeToString())
    del rest.scores[:1], rest.counts[:1]
    columns = columns_of(first.SerializeToString() + rest.SerializeToString(), 2)
    assert columns.scores == array("f", whole.scores)
    assert columns.counts == array("I", whole.counts)


def answer() -> pb.RecommendationBatch:
    return pb.RecommendationBatch(
        batch_id=1,
        item_ids=["a", "b"],
        titles=["A", "B"],
        item_indices=[0, 1, 0],
        scores=[3.0, 2.0, 1.0],
        predicted_ratings=[5.0, 4.0, 3.0],
        counts=[2, 1],
        bases=[pb.RECOMMENDATION_BASIS_MODEL, pb.RECOMMENDATION_BASIS_POPULARITY],
    )


@pytest.mark.parametrize(
    "column", ["titles", "item_indices", "scores", "predicted_ratings", "counts", "bases"]
)
def test_a_column_of_another_length_is_refused(column: str) -> None:
    spoilt = answer()
    getattr(spoilt, column).pop()
    with pytest.raises(errors.UnavailableError, match="2 users with columns of other lengths"):
        columns_of(spoilt.SerializeToString(), 2)


@pytest.mark.parametrize("index", [2, 7, 2**31, 2**32 - 1])
def test_an_index_outside_the_items_is_refused(index: int) -> None:
    spoilt = answer()
    spoilt.item_indices[1] = index
    with pytest.raises(errors.UnavailableError, match=f"names item {index} of the 2 that it has"):
        columns_of(spoilt.SerializeToString(), 2)


def test_a_broken_column_is_refused() -> None:
    torn = wire.RecommendationBatch(
        counts=b"\1\0\0\0", item_indices=b"\0\0\0", scores=b"\0\0\0\0", bases=b"\1"
    )
    with pytest.raises(errors.UnavailableError, match="cannot be read"):
        columns_of(torn.SerializeToString(), 1)


@pytest.mark.parametrize("data", [b"\xff", b"\x12\x05ab"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(errors.UnavailableError, match="cannot be read"):
        response_of(data)
