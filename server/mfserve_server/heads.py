"""Which head answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfserve.v1 import common_pb2 as pb
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_scoring import Head

if TYPE_CHECKING:  # loading a version makes what writes its heads' numbers
    from mfserve_server.loading import LoadedVersion

MESSAGES = {Head.RANKING: pb.HEAD_RANKING, Head.RATING: pb.HEAD_RATING}


def chosen_head(loaded: LoadedVersion, asked: int, field: str) -> Head:
    """The head that a caller asked for; by default the ranking head, or the rating head where there is no other.

    Raises:
        InvalidArgument: no head has this number.
        FailedPrecondition: HEAD_MISSING.
    """
    if asked == pb.HEAD_UNSPECIFIED:
        return Head.RATING if loaded.snapshot.ranking is None else Head.RANKING
    for head, number in MESSAGES.items():
        if asked == number:
            head_of(loaded, head, field)
            return head
    raise InvalidArgument(f"There is no head of number {asked}.", field=field)


def head_of(loaded: LoadedVersion, head: Head, field: str) -> RankingHead | RatingHead:
    """The head of a version. FailedPrecondition: HEAD_MISSING; ``field`` is the one that asks for it."""
    found = loaded.snapshot.ranking if head is Head.RANKING else loaded.snapshot.rating
    if found is None:
        raise FailedPrecondition(
            f"Version {loaded.version} of model {loaded.model} was trained without a {head.name.lower()} head.",
            reason="HEAD_MISSING",
            field=field,
            metadata={"model": loaded.model, "version": str(loaded.version), "head": head.name},
        )
    return found
