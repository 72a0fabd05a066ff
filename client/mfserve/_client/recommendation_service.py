"""RecommendationService: requests from arguments, answers into types."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from itertools import islice, repeat

from mfserve._client.arguments import built, each, given, iterator, text
from mfserve._client.calls import Unary
from mfserve._client.common import model_spec, served_version
from mfserve._client.names import HEAD, RATING_BASIS, RECOMMENDATION_BASIS
from mfserve._types.enums import Head
from mfserve._types.recommendations import (
    RatingPrediction,
    Recommendation,
    Recommendations,
    SimilarItem,
    SimilarItems,
)
from mfserve.v1 import recommendation_service_pb2 as pb

MAX_PAIRS = 10_000
"""Pairs in one BatchPredictRatings."""

History = Mapping[str, float] | Iterable[tuple[str, float] | str]
"""What a user whom the model never saw has rated; items alone for a model of data without ratings."""

PairsCall = Unary[pb.BatchPredictRatingsRequest, pb.BatchPredictRatingsResponse, list[RatingPrediction]]


def recommend(
    model: str,
    user_id: str | None,
    history: History | None,
    limit: int | None,
    exclude_item_ids: Iterable[str],
    include_seen: bool,
    exact: bool,
    ranking_head: Head | str | None,
    version: int | None,
    alias: str | None,
) -> Unary[pb.RecommendRequest, pb.RecommendResponse, Recommendations]:
    """The best items for one user."""
    if (user_id is None) == (history is None):
        raise TypeError("give either a user_id or a history")
    request = built(
        pb.RecommendRequest,
        model_spec=model_spec(model, version, alias),
        limit=limit,
        exclude_item_ids=list(iterator("exclude_item_ids", exclude_item_ids)),
        include_seen=include_seen,
        exact=exact,
        ranking_head=HEAD.write_optional("ranking_head", ranking_head),
    )
    if user_id is not None:
        request.user_id = text("user_id", user_id)
    if history is not None:
        request.history.CopyFrom(_history(history))
    return Unary(lambda stubs: stubs.recommendation.Recommend, request, _recommendations)


def predict_rating(
    model: str, user_id: str, item_id: str, version: int | None, alias: str | None
) -> Unary[pb.PredictRatingRequest, pb.PredictRatingResponse, RatingPrediction]:
    """One predicted rating."""
    request = pb.PredictRatingRequest(
        model_spec=model_spec(model, version, alias),
        user_id=text("user_id", user_id),
        item_id=text("item_id", item_id),
    )
    return Unary(lambda stubs: stubs.recommendation.PredictRating, request, _prediction)


def batch_predict_ratings(
    model: str, pairs: Iterable[tuple[str, str]], version: int | None, alias: str | None
) -> Generator[PairsCall, list[RatingPrediction], list[RatingPrediction]]:
    """Predicted ratings for any number of pairs: yields the calls, takes their results, returns all of them.

    The version that answers the first call answers the further ones too.
    """
    remaining = iterator("pairs", pairs)
    predictions: list[RatingPrediction] = []
    while True:
        part = each("pairs", islice(remaining, MAX_PAIRS), _pair, start=len(predictions))
        if not part and predictions:
            return predictions
        request = pb.BatchPredictRatingsRequest(model_spec=model_spec(model, version, alias), pairs=part)
        predictions += yield Unary(
            lambda stubs: stubs.recommendation.BatchPredictRatings, request, _predictions
        )
        if len(part) < MAX_PAIRS:
            return predictions
        version, alias = predictions[0].served_version.version, None


def similar_items(
    model: str, item_id: str, limit: int | None, version: int | None, alias: str | None
) -> Unary[pb.FindSimilarItemsRequest, pb.FindSimilarItemsResponse, SimilarItems]:
    """The items most like one item."""
    request = built(
        pb.FindSimilarItemsRequest,
        model_spec=model_spec(model, version, alias),
        item_id=text("item_id", item_id),
        limit=limit,
    )

    def decode(response: pb.FindSimilarItemsResponse) -> SimilarItems:
        return SimilarItems(
            items=tuple(SimilarItem(i.item_id, i.similarity, i.title or None) for i in response.items),
            item_id=item_id,
            title=response.title or None,
            served_version=served_version(response.served_version),
        )

    return Unary(lambda stubs: stubs.recommendation.FindSimilarItems, request, decode)


def stream_config(
    model: str,
    limit: int | None,
    exclude_item_ids: Iterable[str],
    include_seen: bool,
    exact: bool,
    ranking_head: Head | str | None,
    predicted_ratings: bool,
    version: int | None,
    alias: str | None,
) -> pb.StreamRecommendConfig:
    """What is the same for all users of a stream."""
    return built(
        pb.StreamRecommendConfig,
        model_spec=model_spec(model, version, alias),
        limit=limit,
        exclude_item_ids=list(iterator("exclude_item_ids", exclude_item_ids)),
        include_seen=include_seen,
        exact=exact,
        ranking_head=HEAD.write_optional("ranking_head", ranking_head),
        omit_predicted_ratings=not predicted_ratings,
    )


def _pair(pair: tuple[str, str] | str) -> pb.UserItem:
    try:
        parts: tuple[str, ...] = () if isinstance(pair, str) else pair  # a text is no pair of its two letters
        user_id, item_id = parts
    except (TypeError, ValueError):
        raise TypeError(f"expected (user_id, item_id), not {given(pair)}") from None
    return pb.UserItem(user_id=text("user_id", user_id), item_id=text("item_id", item_id))


def _history(history: History) -> pb.History:
    entries = history.items() if isinstance(history, Mapping) else iterator("history", history)
    return pb.History(ratings=each("history", entries, _rated))


def _rated(entry: tuple[str, float] | str) -> pb.RatedItem:
    if isinstance(entry, str):
        return pb.RatedItem(item_id=text("item_id", entry))
    try:
        item_id, rating = entry
    except (TypeError, ValueError):
        raise TypeError(f"expected (item_id, rating), not {given(entry)}") from None
    return built(pb.RatedItem, item_id=text("item_id", item_id), rating=rating)


def _recommendations(response: pb.RecommendResponse) -> Recommendations:
    return Recommendations(
        items=tuple(
            Recommendation(
                r.item_id,
                r.score,
                r.predicted_rating if r.HasField("predicted_rating") else None,
                r.title or None,
            )
            for r in response.recommendations
        ),
        basis=RECOMMENDATION_BASIS.read(response.basis),
        ranking_head=HEAD.read_optional(response.ranking_head),
        served_version=served_version(response.served_version),
        recall=response.recall if response.HasField("recall") else None,
    )


def _prediction(response: pb.PredictRatingResponse) -> RatingPrediction:
    return RatingPrediction(
        response.rating,
        RATING_BASIS.read(response.basis),
        served_version(response.served_version),
        response.rating_stddev if response.HasField("rating_stddev") else None,
    )


def _predictions(response: pb.BatchPredictRatingsResponse) -> list[RatingPrediction]:
    version = served_version(response.served_version)
    stddevs = response.rating_stddevs or repeat(None, len(response.ratings))
    return [
        RatingPrediction(rating, RATING_BASIS.read(basis), version, stddev or None)
        for rating, basis, stddev in zip(response.ratings, response.bases, stddevs, strict=True)
    ]
