"""Calls the recommender: short work on the event loop, long work in the scoring thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument, NotFound
from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring import (
    Head,
    Prediction,
    RatingPredictions,
    RecommendationBatch,
    Recommendations,
    SimilarItems,
)
from mfserve_server.checks import (
    MAX_BATCH_ITEMS,
    MAX_HISTORY,
    MAX_PAIRS,
    MAX_USERS,
    check_count,
    check_excluded,
    check_id,
    check_ids,
    limit_of,
)
from mfserve_server.conversions.recommendations import batch_message
from mfserve_server.errors import under
from mfserve_server.executors import Executors
from mfserve_server.heads import chosen_head, head_of
from mfserve_server.loading import LoadedVersion

T = TypeVar("T")

# Multiplications that the event loop may do in one go: about 100 µs. Handing over to a thread costs about as much.
_ON_LOOP = 1_000_000
_LOOK_UP = 1_000
"""Multiplications that take as long as looking up one id."""
_SAMPLED = 16
"""Multiplications that take as long as one number of a pair's samples, which is fetched and widened first."""
_PIECE_USERS = 256
"""Users scored in one go: between pieces of a large batch others get their turn in the scoring thread."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is the same for every user of a call or a stream."""

    limit: int
    excluded: Sequence[str]
    include_seen: bool
    head: Head
    exact: bool

    @classmethod
    def of(cls, loaded: LoadedVersion, message: pb.RecommendRequest | pb.StreamRecommendConfig) -> Options:
        """InvalidArgument where a field is wrong; FailedPrecondition HEAD_MISSING."""
        return cls(
            limit_of(message),
            check_excluded(message.exclude_item_ids, "exclude_item_ids"),
            message.include_seen,
            chosen_head(loaded, message.ranking_head, "ranking_head"),
            message.exact,
        )


class Scoring:
    """Answers questions from a loaded version."""

    def __init__(self, executors: Executors) -> None:
        self._executors = executors

    async def recommend(self, loaded: LoadedVersion, request: pb.RecommendRequest) -> Recommendations:
        options = Options.of(loaded, request)
        recommender = loaded.recommender
        factors = head_of(loaded, options.head, "ranking_head").item_factors
        work = factors.size + _LOOK_UP * len(options.excluded)
        user = request.WhichOneof("user")
        if user is None:
            raise InvalidArgument("Say whom to recommend to: user_id or history.", field="user")
        if user == "history":
            history = checked_history(request.history, loaded.snapshot.scale)
            length = factors.shape[1]
            work += len(history) * (length**2 + _LOOK_UP) + length**3
            return await self._run(
                work,
                lambda: recommender.recommend_history(
                    history,
                    options.limit,
                    exclude_item_ids=options.excluded,
                    include_seen=options.include_seen,
                    head=options.head,
                    exact=options.exact,
                ),
            )
        user_id = check_id(request.user_id, "user_id")
        return await self._run(
            work,
            lambda: recommender.recommend(
                user_id,
                options.limit,
                exclude_item_ids=options.excluded,
                include_seen=options.include_seen,
                head=options.head,
                exact=options.exact,
            ),
        )

    async def recommend_batch(
        self, loaded: LoadedVersion, batch: pb.UserBatch, options: Options, *, predict: bool
    ) -> pb.RecommendationBatch:
        """The columnar answer. InvalidArgument where the batch is empty or too large, or an id is wrong."""
        user_ids = checked_users(batch, options.limit)
        pieces = [
            await self._executors.scoring(
                _score, loaded, user_ids[start : start + _PIECE_USERS], options, predict
            )
            for start in range(0, len(user_ids), _PIECE_USERS)
        ]
        return await self._executors.scoring(batch_message, loaded.snapshot, batch.batch_id, pieces)

    async def predict(self, loaded: LoadedVersion, request: pb.PredictRatingRequest) -> Prediction:
        """FailedPrecondition: HEAD_MISSING."""
        head_of(loaded, Head.RATING, "model_spec")
        return loaded.recommender.predict(
            check_id(request.user_id, "user_id"), check_id(request.item_id, "item_id")
        )

    async def predict_many(self, loaded: LoadedVersion, pairs: Sequence[pb.UserItem]) -> RatingPredictions:
        """FailedPrecondition: HEAD_MISSING."""
        head_of(loaded, Head.RATING, "model_spec")
        check_count(pairs, "pairs", most=MAX_PAIRS)
        checked = [
            (check_id(pair.user_id, f"pairs[{n}].user_id"), check_id(pair.item_id, f"pairs[{n}].item_id"))
            for n, pair in enumerate(pairs)
        ]
        work = len(checked) * work_of_pair(loaded.snapshot.rating)
        return await self._run(work, lambda: loaded.recommender.predict_many(checked))

    async def similar(self, loaded: LoadedVersion, request: pb.FindSimilarItemsRequest) -> SimilarItems:
        """NotFound: ITEM_NOT_FOUND."""
        limit = limit_of(request)
        item_id = check_id(request.item_id, "item_id")
        if loaded.snapshot.items.index(item_id) < 0:
            raise NotFound(
                f"Version {loaded.version} of model {loaded.model} does not know this item.",
                reason="ITEM_NOT_FOUND",
                field="item_id",
                metadata={"model": loaded.model, "version": str(loaded.version), "item_id": item_id},
            )
        return await self._run(
            loaded.snapshot.default_head.item_factors.size,
            lambda: loaded.recommender.similar_items(item_id, limit),
        )

    async def _run(self, work: int, call: Callable[[], T]) -> T:
        return call() if work <= _ON_LOOP else await self._executors.scoring(call)


def work_of_pair(head: RatingHead | None) -> int:
    """Multiplications that take as long as one predicted rating, its deviation included."""
    work = 2 * _LOOK_UP
    if head is not None:
        work += head.item_factors.shape[1]
        if head.posterior is not None:
            _, samples, length = head.posterior.item_samples.shape
            work += _SAMPLED * samples * length
    return work


def checked_history(history: pb.History, scale: RatingScale | None) -> list[tuple[str, float]]:
    """InvalidArgument where it is empty or too long, an id is wrong, or a rating is missing or not on the scale."""
    check_count(history.ratings, "history.ratings", most=MAX_HISTORY)
    rated = []
    for position, entry in enumerate(history.ratings):
        field = f"history.ratings[{position}]"
        item_id = check_id(entry.item_id, f"{field}.item_id")
        if scale is not None and not entry.HasField("rating"):
            raise InvalidArgument(
                f"Give the rating, {scale.minimum:g} to {scale.maximum:g}: this version was trained on ratings, and a "
                "history of items alone is for versions of data without ratings.",
                field=f"{field}.rating",
            )
        if scale is not None and not scale.holds(entry.rating):
            raise InvalidArgument(
                f"A rating is {scale.minimum:g} to {scale.maximum:g}, not {entry.rating:g}.",
                field=f"{field}.rating",
            )
        rated.append((item_id, entry.rating))
    return rated


def checked_users(batch: pb.UserBatch, limit: int) -> list[str]:
    with under("batch"):
        check_count(batch.user_ids, "user_ids", most=min(MAX_USERS, MAX_BATCH_ITEMS // limit))
        return check_ids(batch.user_ids, "user_ids")


def _score(
    loaded: LoadedVersion, user_ids: Sequence[str], options: Options, predict: bool
) -> RecommendationBatch:
    return loaded.recommender.recommend_many(
        user_ids,
        options.limit,
        exclude_item_ids=options.excluded,
        include_seen=options.include_seen,
        head=options.head,
        exact=options.exact,
        predict=predict,
    )
