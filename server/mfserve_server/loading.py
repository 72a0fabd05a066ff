"""Versions in memory: immutable, so that a request may keep the one it began with."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from mfserve.v1.common_pb2 import ServedVersion
from mfserve_registry.aliases import ResolvedVersion
from mfserve_registry.snapshot import Snapshot, SnapshotStore
from mfserve_scoring import Head, Recommender
from mfserve_server.admission.durations import SearchTimes
from mfserve_server.conversions.batches import ItemEntries
from mfserve_server.damage import naming
from mfserve_server.releasing import Releaser
from mfserve_server.replies import ItemPieces, RecommendReplies
from mfserve_server.verification import Verification


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Scorer:
    """An open snapshot, what answers from it, what its answers are written with, and how long they take."""

    snapshot: Snapshot
    recommender: Recommender
    entries: ItemEntries
    pieces: ItemPieces
    times: SearchTimes = field(default_factory=SearchTimes, compare=False)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that can answer.

    Attributes:
        model, version, digest: which it is.
        scorer: shared by all versions with the same digest.
        served: the same three as the message that goes into every answer; never changed.
        replies: writes its recommendations.
    """

    model: str
    version: int
    digest: str
    scorer: Scorer
    served: ServedVersion
    replies: RecommendReplies

    @property
    def snapshot(self) -> Snapshot:
        return self.scorer.snapshot

    @property
    def recommender(self) -> Recommender:
        return self.scorer.recommender


class Loader:
    """Opens, verifies and warms snapshots. For one thread at a time.

    Args:
        store: where the snapshots are.
        verification: shared with the other processes of the machine.
        releaser: where snapshots are unmapped that nobody answers from any more.
    """

    def __init__(self, store: SnapshotStore, verification: Verification, releaser: Releaser) -> None:
        self._store = store
        self._verification = verification
        self._releaser = releaser
        # By digest.
        self._open: WeakValueDictionary[str, Scorer] = WeakValueDictionary()

    def load(self, wanted: ResolvedVersion) -> LoadedVersion:
        """The version, ready to answer.

        Raises:
            DamagedSnapshot: its files are not what the digest names; the message says which version it is.
            Unavailable: they are not on this machine, and the store does not answer.
        """
        with naming(wanted):
            scorer = self._open.get(wanted.digest) or self._open_scorer(wanted.digest)
        served = ServedVersion(model=wanted.model, version=wanted.version, digest=wanted.digest)
        return LoadedVersion(
            wanted.model,
            wanted.version,
            wanted.digest,
            scorer,
            served,
            RecommendReplies(served, scorer.pieces),
        )

    def _open_scorer(self, digest: str) -> Scorer:
        held = self._verification.hold(self._store, digest)
        snapshot = Snapshot.open(held.path, digest, verify=False)
        scorer = Scorer(snapshot, Recommender(snapshot), ItemEntries(snapshot), ItemPieces(snapshot))
        self._releaser.keep_until_gone(
            scorer, snapshot, scorer.recommender, scorer.entries, scorer.pieces, held
        )
        warm_up(scorer)
        self._open[digest] = scorer
        return scorer


def warm_up(scorer: Scorer) -> None:
    """Asks every kind of question once, so that the first caller does not pay for first times."""
    snapshot, recommender = scorer.snapshot, scorer.recommender
    user, item = snapshot.users[0], snapshot.items[0]
    best = snapshot.scale.maximum if snapshot.scale is not None else 1.0
    for head in (Head.DEFAULT,) if snapshot.rating is None else (Head.DEFAULT, Head.RATING):
        recommender.recommend_many([user, ""], 10, head=head)  # "" is nobody: the popular items
        recommender.recommend_history([(item, best)], 10, head=head)
    if snapshot.ranking is not None and snapshot.ranking.index is not None:
        recommender.recommend_many([user], 10, exact=True)
    if snapshot.rating is not None:
        recommender.predict(user, item)
    recommender.similar_items(item, 10)
