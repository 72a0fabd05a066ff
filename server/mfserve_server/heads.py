"""Which head answers."""

from __future__ import annotations

from mfserve.v1 import common_pb2 as pb
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_scoring import Head
from mfserve_server.loading import LoadedVersion

MESSAGES = {Head.RANKING: pb.HEAD_RANKING, Head.RATING: pb.HEAD_RATING}


def chosen_head(loaded: LoadedVersion, asked: int, field: str) -> Head:
    """The head that a caller asked for; by default the ranking head, or the rating head where there is no other.

    Raises:
        InvalidArgument: no head has this number.
        FailedPrecondition: HEAD_MISSING.
    """
    has_ranking = loaded.snapshot.ranking is not None
    if asked == pb.HEAD_UNSPECIFIED:
        return Head.RANKING if has_ranking else Head.RATING
    if asked == pb.HEAD_RATING:
        return Head.RATING
    if asked != pb.HEAD_RANKING:
        raise InvalidArgument(f"There is no head of number {asked}.", field=field)
    if not has_ranking:
        raise FailedPrecondition(
            f"Version {loaded.version} of model {loaded.model} was trained without a ranking head.",
            reason="HEAD_MISSING",
            field=field,
            metadata={"model": loaded.model, "version": str(loaded.version), "head": "RANKING"},
        )
    return Head.RANKING
