"""Recommends to batches of users: the scoring and the encoding of an answer, in the scoring thread."""

from __future__ import annotations

from collections.abc import Sequence

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument
from mfserve_scoring import RecommendationBatch
from mfserve_server.checks import MAX_BATCH_ITEMS, MAX_USERS, check_count, check_ids
from mfserve_server.conversions.batches import BatchEncoder
from mfserve_server.errors import under
from mfserve_server.executors import Executors
from mfserve_server.loading import LoadedVersion
from mfserve_server.scoring import Options

PIECE_SCORES = 1 << 21
"""Scores computed in one go, of at least ``LEAST_USERS``: between the pieces of a large batch others get their turn in
the scoring thread, and each hand-over costs what some 20 users do."""
LEAST_USERS, MOST_USERS = 256, 1024


class BulkScoring:
    """Answers one stream's batches, one after the other.

    Args:
        executors: with the thread.
        loaded: the version that answers.
        options: what is the same for every user.
        predict: whether to predict ratings too.
    """

    def __init__(
        self, executors: Executors, loaded: LoadedVersion, options: Options, *, predict: bool
    ) -> None:
        self._executors = executors
        self._recommender = loaded.recommender
        self._options = options
        self._predict = predict
        items = len(loaded.snapshot.items)
        self._encoder = BatchEncoder(items, loaded.scorer.entries)
        self._piece = max(LEAST_USERS, min(MOST_USERS, PIECE_SCORES // items))

    async def answer(self, batch: pb.UserBatch) -> bytes:
        """A serialized StreamRecommendResponse. InvalidArgument: the batch is empty or too large, or an id is wrong."""
        user_ids = checked_users(batch, self._options.limit)
        *pieces, last = (user_ids[n : n + self._piece] for n in range(0, len(user_ids), self._piece))
        scored = [await self._executors.scoring(self._score, piece) for piece in pieces]
        return await self._executors.scoring(self._finish, batch.batch_id, scored, last)

    def _finish(self, batch_id: int, scored: list[RecommendationBatch], last: Sequence[str]) -> bytes:
        # In one go with the last piece, which is mostly the only one: handing over costs as much as encoding.
        return self._encoder.encode(batch_id, [*scored, self._score(last)])

    def _score(self, user_ids: Sequence[str]) -> RecommendationBatch:
        return self._recommender.recommend_many(
            user_ids,
            self._options.limit,
            exclude_item_ids=self._options.excluded,
            include_seen=self._options.include_seen,
            head=self._options.head,
            exact=self._options.exact,
            predict=self._predict,
        )


def checked_users(batch: pb.UserBatch, limit: int) -> list[str]:
    """The ids of a batch; what is wrong with them tells of which, as several are on their way at a time."""
    try:
        with under("batch"):
            check_count(batch.user_ids, "user_ids", most=min(MAX_USERS, MAX_BATCH_ITEMS // limit))
            return check_ids(batch.user_ids, "user_ids")
    except InvalidArgument as error:
        error.metadata["batch_id"] = str(batch.batch_id)
        raise
