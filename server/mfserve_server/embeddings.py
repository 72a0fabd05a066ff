"""The embeddings of one side of a version, in parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import IdTable
from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.snapshot.ids import MAX_ID_BYTES
from mfserve_server.heads import MESSAGES, chosen_head, head_of
from mfserve_server.loading import LoadedVersion

PART_BYTES = 1 << 20
"""About the size of a message, well below the 4 MiB that it may have."""


@dataclass(frozen=True, slots=True)
class EmbeddingStream:
    """What GetEmbeddings sends.

    Attributes:
        header: goes with the first part.
        ids: of the rows.
        factors: float32 (rows, dimension).
        biases: float32 (rows,), or None where the head has none.
        rows: per part.
    """

    header: pb.EmbeddingsHeader
    ids: IdTable
    factors: NDArray[np.float32]
    biases: NDArray[np.float32] | None
    rows: int

    @classmethod
    def of(cls, loaded: LoadedVersion, request: pb.GetEmbeddingsRequest) -> EmbeddingStream:
        """InvalidArgument for an unknown side or head; FailedPrecondition HEAD_MISSING."""
        if request.side not in (pb.EMBEDDING_SIDE_USER, pb.EMBEDDING_SIDE_ITEM):
            raise InvalidArgument("Say whose embeddings: users' or items'.", field="side")
        head = chosen_head(loaded, request.head, "head")
        users = request.side == pb.EMBEDDING_SIDE_USER
        factors, biases, intercept = _arrays(head_of(loaded, head, "head"), users=users)
        count, dimension = factors.shape
        header = pb.EmbeddingsHeader(
            served_version=loaded.served,
            head=MESSAGES[head],
            count=count,
            dimension=dimension,
            intercept=intercept,
        )
        ids = loaded.snapshot.users if users else loaded.snapshot.items
        row_bytes = 4 * dimension + 4 + MAX_ID_BYTES + 3
        return cls(header, ids, factors, biases, max(1, PART_BYTES // row_bytes))

    @property
    def starts(self) -> range:
        """The first row of each part."""
        return range(0, len(self.factors), self.rows)

    def part(self, start: int) -> pb.GetEmbeddingsResponse:
        part = slice(start, min(start + self.rows, len(self.factors)))
        return pb.GetEmbeddingsResponse(
            header=self.header if start == 0 else None,
            ids=self.ids.take(np.arange(part.start, part.stop)),
            values=self.factors[part].ravel().tolist(),
            biases=None if self.biases is None else self.biases[part].tolist(),
        )


def _arrays(
    head: RankingHead | RatingHead, *, users: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, float]:
    factors = head.user_factors if users else head.item_factors
    if isinstance(head, RankingHead):
        return factors, None, 0.0
    return factors, head.user_biases if users else head.item_biases, head.intercept
