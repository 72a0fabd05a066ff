"""Replies written by hand, against the generated classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import Basis, Head, Recommendations
from mfserve_server import replies
from mfserve_server.replies import ItemPieces, RecommendReplies
from tests.registry.snapshot.samples import random_content, without_ratings
from tests.scoring.snapshots import opened

SERVED = common_pb2.ServedVersion(model="movies", version=2**31 - 1, digest="ab" * 32)
HEADS = {Head.RANKING: common_pb2.HEAD_RANKING, Head.RATING: common_pb2.HEAD_RATING}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = texts.filter(bool) | st.sampled_from(["x" * 256, "é" * 128, "𝄞" * 64, "\0"])
titles = texts | st.sampled_from(["", "t" * 127, "t" * 128, "é" * 9000])
numbers = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0])


@st.composite
def answers(draw: st.DrawFn) -> tuple[Snapshot, Recommendations]:
    """A snapshot of any ids and titles, and any items of it with any numbers, some of them twice."""
    item_ids = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    count = len(item_ids)
    content = replace(
        random_content(0, items=count),
        item_ids=item_ids,
        item_titles=draw(st.none() | st.lists(titles, min_size=count, max_size=count)),
    )
    rated = draw(st.booleans())
    items = draw(st.lists(st.integers(0, count - 1), max_size=8))
    columns = [draw(st.lists(numbers, min_size=len(items), max_size=len(items))) for _ in range(2)]
    scores, ratings = (np.array(column, dtype=np.float32) for column in columns)
    return opened(content if rated else without_ratings(content)), Recommendations(
        np.array(items, dtype=np.int32),
        scores,
        ratings if rated else None,
        draw(st.sampled_from(Basis)),
        draw(st.sampled_from([Head.RANKING, Head.RATING])),
        draw(st.sampled_from([None, 0.0, 0.8125, 0.95])),
    )


def generated(snapshot: Snapshot, found: Recommendations) -> pb.RecommendResponse:
    count = len(found.item_indices)
    ratings: Sequence[float | None] = [None] * count
    if found.predicted_ratings is not None:
        ratings = found.predicted_ratings.tolist()
    popular = found.basis is Basis.POPULARITY
    return pb.RecommendResponse(
        recommendations=[
            pb.Recommendation(
                item_id=snapshot.items[item],
                score=score,
                predicted_rating=rating,
                title="" if snapshot.titles is None else snapshot.titles[item],
            )
            for item, score, rating in zip(
                found.item_indices.tolist(), found.scores.tolist(), ratings, strict=True
            )
        ],
        basis=pb.RecommendationBasis.ValueType(found.basis),
        ranking_head=common_pb2.HEAD_UNSPECIFIED if popular else HEADS[found.head],
        served_version=SERVED,
        recall=found.recall,
    )


@settings(max_examples=150, deadline=None)
@given(answers())
def test_the_bytes_are_those_of_the_generated_classes(answer: tuple[Snapshot, Recommendations]) -> None:
    snapshot, found = answer
    writer = RecommendReplies(SERVED, ItemPieces(snapshot))
    expected = generated(snapshot, found)
    for _ in range(2):  # the second time of pieces that are there already
        data = writer.write(found)
        assert pb.RecommendResponse.FromString(data) == expected
        assert data == expected.SerializeToString()


@given(st.integers(0, 2**40))
@example(127)
@example(128)
@example(16383)
@example(16384)
def test_a_length_is_written_as_protocol_buffers_do(number: int) -> None:
    message = pb.UserBatch(batch_id=number)
    assert replies.varint(number) == (message.SerializeToString()[1:] or b"\0")


def test_pieces_of_a_bounded_number_of_items_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "ITEMS_KEPT", 4)
    snapshot = opened(random_content(0, items=11))
    pieces = ItemPieces(snapshot)
    fresh = [ItemPieces(snapshot)[item] for item in range(11)]
    for _ in range(2):
        assert [pieces[item] for item in range(11)] == fresh
        assert len(pieces) <= 4
