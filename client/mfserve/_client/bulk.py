"""The bookkeeping of StreamRecommend: what was asked, what is unanswered, and how to go on after a break.

It does no input or output: the clients move the messages.
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from itertools import accumulate
from typing import NamedTuple

from mfserve._client.arguments import texts, whole
from mfserve._client.batches import columns_of, response_of
from mfserve._client.common import served_version
from mfserve._client.names import HEAD, RECOMMENDATION_BASIS
from mfserve._types.bulk import RecommendationBatch
from mfserve._types.enums import Head
from mfserve._types.models import ServedVersion
from mfserve.errors import FieldViolation, MfserveError, UnavailableError
from mfserve.v1 import recommendation_service_pb2 as pb

BATCH_SIZE = 1024
"""Users in a message, where the caller does not say."""

MAX_BATCH = 4096
"""Users that a server takes in a message."""

MAX_RECOMMENDATIONS = 200_000
"""Users times limit of one batch."""

IN_FLIGHT = 4
"""Batches sent and not yet answered: enough that the server never waits, few enough that memory stays small."""

_USER = re.compile(r"batch\.user_ids\[(\d+)\]")


class _Asked(NamedTuple):
    """A batch that was sent, or will be."""

    request: pb.StreamRecommendRequest
    user_ids: tuple[str, ...]
    start: int
    """Position of the first of them among all users."""


class Bulk:
    """One stream over as many connections as it takes.

    Batches are answered in order, so the unanswered ones are a queue. At most ``IN_FLIGHT`` of them exist, which
    bounds the memory of the client; the server's is bounded by the flow control of the connection.
    """

    def __init__(self, config: pb.StreamRecommendConfig, batch_size: int) -> None:
        batch_size = whole("batch_size", batch_size, 1, MAX_BATCH)
        limit = config.limit if config.HasField("limit") else 10
        self.batch_size = min(batch_size, max(1, MAX_RECOMMENDATIONS // max(1, limit)))
        self.served_version: ServedVersion | None = None
        self.ended = False
        """Whether no more batches will come: all are there, or it failed."""
        self._head: Head | None = None
        self._recall: float | None = None
        self._config = config
        self._unanswered: deque[_Asked] = deque()
        self._next_id = 1
        self._taken = 0
        self._exhausted = False

    @property
    def wants_users(self) -> bool:
        """Whether another batch may be sent."""
        return not self._exhausted and len(self._unanswered) < IN_FLIGHT

    @property
    def done(self) -> bool:
        """Whether there are no more users, and the server has answered the start and every batch."""
        return self._exhausted and not self._unanswered and self.served_version is not None

    def opening(self) -> pb.StreamRecommendRequest:
        """What a new connection begins with; nothing else is sent before the server has answered it."""
        return pb.StreamRecommendRequest(config=self._config)

    def unanswered(self) -> list[pb.StreamRecommendRequest | None]:
        """What follows: every batch that no connection has answered, and None where there are no more users."""
        messages = [asked.request for asked in self._unanswered]
        return [*messages, None] if self._exhausted else [*messages]

    def add(self, user_ids: list[str]) -> pb.StreamRecommendRequest | None:
        """The message for further users; None where there are none, which ends the stream."""
        if not user_ids:
            self._exhausted = True
            return None
        try:
            batch = pb.UserBatch(batch_id=self._next_id, user_ids=user_ids)
        except ValueError:  # not in UTF-8
            texts("user_ids", user_ids, self._taken)
            raise
        asked = _Asked(pb.StreamRecommendRequest(batch=batch), tuple(user_ids), self._taken)
        self._next_id += 1
        self._taken += len(user_ids)
        self._unanswered.append(asked)
        return asked.request

    def refused(self, error: MfserveError) -> None:
        """Lets an error name what is wrong as the caller does: the batches and the configuration are ours alone."""
        named = error.metadata.pop("batch_id", None)
        start = next((a.start for a in self._unanswered if str(a.request.batch.batch_id) == named), None)

        def place(field: str) -> str:
            if start is not None and (found := _USER.fullmatch(field)):
                return f"user_ids[{start + int(found[1])}]"
            return field.removeprefix("config.")

        error.field_violations = tuple(
            FieldViolation(place(field), description) for field, description in error.field_violations
        )

    def received(self, data: bytes) -> RecommendationBatch | None:
        """Takes one message; None for the start of a connection, after which the unanswered batches are sent."""
        response = response_of(data)
        if response.HasField("started"):
            self.served_version = served_version(response.started.served_version)
            self._head = HEAD.read_optional(response.started.ranking_head)
            self._recall = response.started.recall if response.started.HasField("recall") else None
            # Whatever an alias names by then, a further connection must be answered by the same version.
            self._config.model_spec.version = self.served_version.version
            return None
        if self.served_version is None or not self._unanswered:
            raise UnavailableError("the server answered what was not asked")
        asked = self._unanswered[0]
        answer = columns_of(response.batch, len(asked.user_ids))
        if answer.batch_id != asked.request.batch.batch_id:
            raise UnavailableError(
                f"the server answered batch {answer.batch_id} in place of {asked.request.batch.batch_id}"
            )
        self._unanswered.popleft()
        return RecommendationBatch(
            user_ids=asked.user_ids,
            item_ids=tuple(answer.item_ids),
            titles=tuple(answer.titles) if answer.titles else None,
            item_indices=answer.item_indices,
            scores=answer.scores,
            # Asked for and still missing where the version has no rating head.
            predicted_ratings=None
            if self._config.omit_predicted_ratings or not answer.predicted_ratings
            else answer.predicted_ratings,
            offsets=array("q", accumulate(answer.counts, initial=0)),
            bases=RECOMMENDATION_BASIS.read_all(answer.bases),
            ranking_head=self._head,
            served_version=self.served_version,
            recall=self._recall,
        )
