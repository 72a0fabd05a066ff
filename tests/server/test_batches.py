"""What the encoder writes is what the generated classes would have written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.wire.v1 import recommendation_columns_pb2 as wire
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import Head, RecommendationBatch
from mfserve_server.conversions import batches
from mfserve_server.conversions.batches import BatchEncoder, ItemEntries
from tests.registry.snapshot.samples import random_content
from tests.scoring.snapshots import opened

ITEMS = 11
SNAPSHOTS = {titles: opened(random_content(items=ITEMS, titles=titles)) for titles in (True, False)}
FLOATS = st.floats(width=32)  # NaN, infinities and denormals too


@st.composite
def parts_of_answers(draw: st.DrawFn, *, predicted: bool) -> RecommendationBatch:
    """What scoring could answer to a few users, and values that it would not give."""
    counts = draw(st.lists(st.integers(0, 5), max_size=4))
    total = sum(counts)
    floats = st.lists(FLOATS, min_size=total, max_size=total).map(lambda f: np.array(f, dtype=np.float32))
    indices = draw(st.lists(st.integers(0, ITEMS - 1), min_size=total, max_size=total))
    bases = draw(st.lists(st.integers(0, 127), min_size=len(counts), max_size=len(counts)))
    return RecommendationBatch(
        np.array(indices, dtype=np.int32),
        draw(floats),
        draw(floats) if predicted else None,
        np.array(counts, dtype=np.int32),
        np.array(bases, dtype=np.uint8),
        Head.RANKING,
    )


def by_the_public_class(
    snapshot: Snapshot, batch_id: int, item_ids: list[str], parts: list[RecommendationBatch]
) -> pb.StreamRecommendResponse:
    """The answer made number by number, with the dictionary in the order of ``item_ids``."""
    items = [snapshot.items.index(item_id) for item_id in item_ids]
    return pb.StreamRecommendResponse(
        batch=pb.RecommendationBatch(
            batch_id=batch_id,
            item_ids=item_ids,
            item_indices=[items.index(item) for part in parts for item in part.item_indices.tolist()],
            scores=[score for part in parts for score in part.scores.tolist()],
            predicted_ratings=[
                rating
                for part in parts
                if part.predicted_ratings is not None
                for rating in part.predicted_ratings.tolist()
            ],
            counts=[count for part in parts for count in part.counts.tolist()],
            bases=[pb.RecommendationBasis.ValueType(b) for part in parts for b in part.bases.tolist()],
            titles=None if snapshot.titles is None else [snapshot.titles[item] for item in items],
        )
    )


@pytest.mark.parametrize("kept", [0, 1 << 16])
@given(
    data=st.data(), titles=st.booleans(), batch_id=st.integers(-(2**63), 2**63 - 1), predicted=st.booleans()
)
def test_the_bytes_are_those_of_the_public_class(
    kept: int, data: st.DataObject, titles: bool, batch_id: int, predicted: bool
) -> None:
    parts = data.draw(st.lists(parts_of_answers(predicted=predicted), min_size=1, max_size=3))
    snapshot = SNAPSHOTS[titles]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "ITEMS_KEPT", kept)
        encoder = BatchEncoder(ITEMS, ItemEntries(snapshot))
        written = encoder.encode(batch_id, parts)
        assert encoder.encode(batch_id, parts) == written  # nothing is left over from the first time
    read = pb.StreamRecommendResponse.FromString(written)
    item_ids = list(read.batch.item_ids)
    assert len(set(item_ids)) == len(item_ids)
    expected = by_the_public_class(snapshot, batch_id, item_ids, parts).SerializeToString()
    assert read.SerializeToString() == expected
    # And back: what the public class writes is read by the internal ones, and written again, byte by byte.
    response = wire.StreamRecommendResponse.FromString(expected)
    assert response.SerializeToString() == expected
    assert wire.RecommendationBatch.FromString(response.batch).SerializeToString() == response.batch
