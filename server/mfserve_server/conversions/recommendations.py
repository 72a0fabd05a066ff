"""Recommendations, predictions and similar items, as messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import (
    Prediction,
    RatingPredictions,
    SimilarItems,
)
from mfserve_server.loading import LoadedVersion

# The enums of scoring have the API's numbers; a test holds them equal.


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
