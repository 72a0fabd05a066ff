"""Reads the answer to a batch of users: columns, copied as a whole."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from mfserve.errors import UnavailableError
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.wire.v1 import recommendation_columns_pb2 as wire


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a mfserve.v1.RecommendationBatch."""

    batch_id: int
    item_ids: Sequence[str]
    titles: Sequence[str]
    item_indices: array[int]
    scores: array[float]
    predicted_ratings: array[float]
    counts: array[int]
    bases: Sequence[int]

    def fit(self, users: int) -> bool:
        """Whether they have the lengths that the answer to so many users must have."""
        total = sum(self.counts)
        return (
            len(self.counts) == len(self.bases) == users
            and len(self.item_indices) == len(self.scores) == total
            and len(self.predicted_ratings) in {0, total}
            and len(self.titles) in {0, len(self.item_ids)}
        )


def response_of(data: bytes) -> wire.StreamRecommendResponse:
    """One message of the stream. UnavailableError where it is none."""
    try:
        return wire.StreamRecommendResponse.FromString(data)
    except DecodeError as error:
        raise UnavailableError("the server's answer cannot be read") from error


def columns_of(data: bytes, users: int) -> Columns:
    """The columns of a serialized RecommendationBatch. UnavailableError where they are not what ``users`` are due."""
    try:
        columns = _whole(data)
        if columns is None or not columns.fit(users):
            columns = _by_number(data)
    except DecodeError as error:
        raise UnavailableError("the server's answer cannot be read") from error
    if not columns.fit(users):
        raise UnavailableError(
            f"the server answered {users} users with columns of other lengths: {len(columns.counts)} counts, "
            f"{len(columns.bases)} bases, {len(columns.item_indices)} items, {len(columns.scores)} scores, "
            f"{len(columns.predicted_ratings)} predicted ratings"
        )
    if (highest := max(columns.item_indices, default=-1)) >= len(columns.item_ids):
        raise UnavailableError(
            f"the server's answer names item {highest} of the {len(columns.item_ids)} "
            "that it has, counted from 0"
        )
    return columns


def _whole(data: bytes) -> Columns | None:
    """The columns as they lie there; None where they cannot lie there so."""
    batch = wire.RecommendationBatch.FromString(data)
    indices, scores, predicted = batch.item_indices, batch.scores, batch.predicted_ratings
    widths = (len(column) % 4 for column in (indices, scores, predicted, batch.counts))
    if any(widths):
        return None
    if not batch.bases.isascii():  # a number of more than one byte
        return None
    return Columns(
        batch.batch_id,
        batch.item_ids,
        batch.titles,
        _numbers("I", indices),
        _numbers("f", scores),
        # Without any, or with unpacked ones: that looks the same here.
        _numbers("f", predicted)
        if predicted
        else array("f", pb.RecommendationBatch.FromString(data).predicted_ratings),
        _numbers("I", batch.counts),
        batch.bases,
    )


def _by_number(data: bytes) -> Columns:
    """The columns number by number: protobuf lets a peer send them in parts, or unpacked."""
    batch = pb.RecommendationBatch.FromString(data)
    return Columns(
        batch.batch_id,
        batch.item_ids,
        batch.titles,
        array("I", batch.item_indices),
        array("f", batch.scores),
        array("f", batch.predicted_ratings),
        array("I", batch.counts),
        batch.bases,
    )


def _numbers(typecode: str, data: bytes) -> Any:
    numbers: array[int] = array(typecode, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
