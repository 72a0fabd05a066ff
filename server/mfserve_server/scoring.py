"""Calls the recommender: short work on the event loop, long work in the scoring thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument, NotFound
from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring import (
    Head,
    Prediction,
    Question,
    RatingPredictions,
    SimilarItems,
)
from mfserve_server.checks import (
    MAX_HISTORY,
    MAX_PAIRS,
    check_count,
    check_excluded,
    check_id,
    limit_of,
)
from mfserve_server.executors import Executors
from mfserve_server.heads import chosen_head, head_of
from mfserve_server.loading import LoadedVersion
from mfserve_server.outcomes import Outcome, attempt
from mfserve_server.sharing import SharedScoring, answer_each

T = TypeVar("T")

# Multiplications that the event loop may do in one go: about 100 µs. Handing over to a thread costs about as much.
_ON_LOOP = 1_000_000
_FEWEST = 8
"""Questions from which on one search for all takes less of the event loop's time than one for each."""
_LOOK_UP = 1_000
"""Multiplications that take as long as looking up one id, or as finding and writing one item more."""
_SAMPLED = 16
"""Multiplications that take as long as one number of a pair's samples, which is fetched and widened first."""


class Options(NamedTuple):
    """What is the same for every user of a call or a stream; the part of a Question after the user."""

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

    def __init__(self, executors: Executors, shared: SharedScoring) -> None:
        self._executors = executors
        self._shared = shared

    def sheds(self) -> bool:
        """Whether there is more to score than can be, of late."""
        return self._shared.sheds()

    def recommend_each(self, loaded: LoadedVersion, requests: Sequence[pb.RecommendRequest]) -> list[Outcome]:
        """The serialized responses: at once where scoring takes no longer than handing it over to a thread.

        In a response's place may stand an InvalidArgument, where a field is wrong, or FailedPrecondition HEAD_MISSING.
        """
        outcomes: dict[int, Outcome] = {}
        at_once: dict[int, Question] = {}
        for number, request in enumerate(requests):
            checked = attempt(asked, loaded, request)
            if isinstance(checked, Exception):
                outcomes[number] = checked
                continue
            question, work = checked
            if work <= _ON_LOOP:
                at_once[number] = question
            else:
                outcomes[number] = self._recommend_shared(loaded, question)
        found = answer_each(loaded.recommender, list(at_once.values()), fewest=_FEWEST)
        for number, answer in zip(at_once, found, strict=True):
            if isinstance(answer, Exception):
                outcomes[number] = answer
            else:
                outcomes[number] = attempt(loaded.replies.write, answer)
        return [outcomes[number] for number in range(len(requests))]

    async def _recommend_shared(self, loaded: LoadedVersion, question: Question) -> bytes:
        return loaded.replies.write(await self._shared.answer(loaded, question))

    def predict(self, loaded: LoadedVersion, request: pb.PredictRatingRequest) -> Prediction:
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


def asked(loaded: LoadedVersion, request: pb.RecommendRequest) -> tuple[Question, int]:
    """The question, checked, and how many multiplications take as long as its answer."""
    options = Options.of(loaded, request)
    factors = head_of(loaded, options.head, "ranking_head").item_factors
    work = factors.size + _LOOK_UP * (options.limit + len(options.excluded))
    user = request.WhichOneof("user")
    if user == "user_id":
        return Question(check_id(request.user_id, "user_id"), *options), work
    if user is None:
        raise InvalidArgument("Say whom to recommend to: user_id or history.", field="user")
    history = checked_history(request.history, loaded.snapshot.scale)
    length = factors.shape[1]
    return Question(history, *options), work + len(history) * (length**2 + _LOOK_UP) + length**3


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
