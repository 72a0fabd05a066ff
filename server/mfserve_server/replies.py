"""RecommendResponse, written as bytes by hand.

All of a Recommendation but its two numbers is the same whenever the item is recommended, and all of a response but its
items is the same for a version. So a reply is pieces put together, where the generated classes take as long again as
the scoring. The bytes are those that the generated classes make, fields in the order of their numbers; a test holds
them equal.
"""

from __future__ import annotations

from struct import Struct

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import Basis, Head, Recommendations
from mfserve_server.heads import MESSAGES

ITEMS_KEPT = 1 << 16
"""Items of a version whose bytes are kept, for single replies (about 20 MB with titles) and for batches (10 MB): more
than are recommended often in any catalogue."""

# Tags (Protocol Buffers, "Encoding"): number of the field << 3, plus 2 for bytes and 5 for a 32-bit number.
_RECOMMENDATIONS = b"\x0a"
_ITEM_ID = b"\x0a"
_SCORE = b"\x15"
_PREDICTED_RATING = b"\x1d"
_TITLE = b"\x22"

_score = Struct("<cf").pack
_score_and_rating = Struct("<cfcf").pack

Pieces = tuple[bytes, bytes]
"""What comes before an item's numbers, and what after."""


class ItemPieces(dict[int, Pieces]):
    """The constant bytes of the items of one snapshot, made when an item is first recommended.

    Before an item's numbers and after them: a score, and a rating where the snapshot has a rating head.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._numbers = len(_score(_SCORE, 0))
        if snapshot.rating is not None:
            self._numbers = len(_score_and_rating(_SCORE, 0, _PREDICTED_RATING, 0))

    def plain(self, item: int, score: float, rating: float | None) -> bytes:
        """The whole of one recommendation as the generated class writes it."""
        message = pb.Recommendation(
            item_id=self._snapshot.items[item],
            score=score,
            predicted_rating=rating,
            title="" if self._snapshot.titles is None else self._snapshot.titles[item],
        )
        return pb.RecommendResponse(recommendations=[message]).SerializeToString()

    def __missing__(self, item: int) -> Pieces:
        snapshot = self._snapshot
        before = _ITEM_ID + _delimited(snapshot.items[item])
        title = "" if snapshot.titles is None else snapshot.titles[item]
        after = _TITLE + _delimited(title) if title else b""
        length = varint(len(before) + self._numbers + len(after))
        if len(self) >= ITEMS_KEPT:
            self.clear()
        made = self[item] = (_RECOMMENDATIONS + length + before, after)
        return made


class RecommendReplies:
    """Writes the replies of one version.

    Args:
        served: the version, as the message that goes into every answer.
        pieces: of its snapshot.
    """

    def __init__(self, served: common_pb2.ServedVersion, pieces: ItemPieces) -> None:
        self._served = served
        self._pieces = pieces
        self._ends: dict[tuple[Basis, Head, float | None], bytes] = {}

    def write(self, found: Recommendations) -> bytes:
        """The serialized RecommendResponse."""
        pieces = self._pieces
        items, scores, ratings, basis, head, recall = found
        parts: list[bytes] = []
        numbers: list[float] | list[None] = [None] * len(items) if ratings is None else ratings.tolist()
        for item, score, rating in zip(items.tolist(), scores.tolist(), numbers, strict=True):
            before, after = pieces[item]
            if not score:  # proto3 leaves 0 out, but not -0
                parts.append(pieces.plain(item, score, rating))
            elif rating is None:
                parts += (before, _score(_SCORE, score), after)
            else:
                parts += (before, _score_and_rating(_SCORE, score, _PREDICTED_RATING, rating), after)
        parts.append(self._ends.get((basis, head, recall)) or self._end(basis, head, recall))
        return b"".join(parts)

    def _end(self, basis: Basis, head: Head, recall: float | None) -> bytes:
        """The fields after the items. The enums of scoring have the API's numbers; a test holds them equal."""
        ranked = common_pb2.HEAD_UNSPECIFIED if basis is Basis.POPULARITY else MESSAGES[head]
        message = pb.RecommendResponse(
            basis=pb.RecommendationBasis.ValueType(basis),
            ranking_head=ranked,
            served_version=self._served,
            recall=recall,
        )
        made = self._ends[basis, head, recall] = message.SerializeToString()
        return made


def _delimited(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
