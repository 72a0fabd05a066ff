"""Recommendations, predictions and similar items, as messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import (
    Basis,
    Prediction,
    RatingPredictions,
    RecommendationBatch,
    Recommendations,
    SimilarItems,
)
from mfserve_server.heads import MESSAGES
from mfserve_server.loading import LoadedVersion

# The enums of scoring have the API's numbers; a test holds them equal.


def recommend_response(loaded: LoadedVersion, found: Recommendations) -> pb.RecommendResponse:
    ids = loaded.snapshot.items.take(found.item_indices)
    titles = _titles(loaded.snapshot, found.item_indices) or [""] * len(ids)
    predicted: list[float | None] = (
        [None] * len(ids) if found.predicted_ratings is None else found.predicted_ratings.tolist()
    )
    rows = zip(ids, found.scores.tolist(), predicted, titles, strict=True)
    return pb.RecommendResponse(
        recommendations=[
            pb.Recommendation(item_id=item_id, score=score, predicted_rating=rating, title=title)
            for item_id, score, rating, title in rows
        ],
        basis=pb.RecommendationBasis.ValueType(found.basis),
        ranking_head=common_pb2.HEAD_UNSPECIFIED if found.basis is Basis.POPULARITY else MESSAGES[found.head],
        served_version=loaded.served,
        recall=found.recall,
    )


def batch_message(
    snapshot: Snapshot, batch_id: int, parts: Sequence[RecommendationBatch]
) -> pb.RecommendationBatch:
    """The answer to a batch of users that was scored in parts; complete in itself: its item ids go with it."""
    indices = np.concatenate([part.item_indices for part in parts])
    items, positions = np.unique(indices, return_inverse=True)
    message = pb.RecommendationBatch(
        batch_id=batch_id,
        item_ids=snapshot.items.take(items),
        item_indices=positions.tolist(),
        titles=_titles(snapshot, items),
    )
    for part in parts:
        message.scores.extend(part.scores.tolist())
        message.counts.extend(part.counts.tolist())
        message.bases.extend(part.bases.tolist())
        if part.predicted_ratings is not None:
            message.predicted_ratings.extend(part.predicted_ratings.tolist())
    return message


def rating_response(loaded: LoadedVersion, prediction: Prediction) -> pb.PredictRatingResponse:
    return pb.PredictRatingResponse(
        rating=prediction.rating,
        basis=pb.RatingBasis.ValueType(prediction.basis),
        served_version=loaded.served,
        rating_stddev=prediction.deviation,
    )


def ratings_response(loaded: LoadedVersion, found: RatingPredictions) -> pb.BatchPredictRatingsResponse:
    return pb.BatchPredictRatingsResponse(
        ratings=found.ratings.tolist(),
        bases=found.bases.tolist(),
        served_version=loaded.served,
        rating_stddevs=None if found.deviations is None else found.deviations.tolist(),
    )


def similar_response(loaded: LoadedVersion, item_id: str, found: SimilarItems) -> pb.FindSimilarItemsResponse:
    snapshot = loaded.snapshot
    ids = snapshot.items.take(found.item_indices)
    titles = _titles(snapshot, found.item_indices) or [""] * len(ids)
    return pb.FindSimilarItemsResponse(
        items=[
            pb.SimilarItem(item_id=found_id, similarity=similarity, title=title)
            for found_id, similarity, title in zip(ids, found.similarities.tolist(), titles, strict=True)
        ],
        title="" if snapshot.titles is None else snapshot.titles[snapshot.items.index(item_id)],
        served_version=loaded.served,
    )


def _titles(snapshot: Snapshot, indices: NDArray[np.int32]) -> list[str]:
    return [] if snapshot.titles is None else snapshot.titles.take(indices)
