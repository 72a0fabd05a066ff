"""Models, their versions, and what is served."""

from __future__ import annotations

import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mfserve._types.aliases import Alias
from mfserve._types.enums import EmbeddingSide, Gate, GateOutcome, Head, Ranker, RatingPredictor, ServingState
from mfserve._types.spec import RatingScale, TrainingSpec

__all__ = [
    "Artifact",
    "DatasetFacts",
    "Embeddings",
    "Evaluation",
    "GateReport",
    "GateResult",
    "ItemIndex",
    "Model",
    "ModelVersion",
    "RankingMetrics",
    "RatingMetrics",
    "ServedVersion",
    "RegistryContact",
    "ServerStatus",
    "ServingStatus",
    "ServingVersion",
    "StoredArtifact",
]


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """The version that gave an answer."""

    model: str
    version: int
    """1 or more; never reused within a model."""
    digest: str
    """SHA-256 of the snapshot's manifest, 64 hexadecimal digits: the same digest is the same bytes."""


@dataclass(frozen=True, slots=True)
class Model:
    """A line of versions."""

    model: str
    latest_version: int
    """The highest version number given so far; 0 before the first."""
    aliases: tuple[Alias, ...]
    """By name."""
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The ratings that a version was trained on."""

    name: str
    fingerprint: str
    """SHA-256 over the ratings, 64 hexadecimal digits, whatever file format they came in."""
    ratings: int
    users: int
    items: int
    scale: RatingScale | None
    """``None`` where the data have no ratings."""
    skipped: Mapping[str, int]
    """Rows left out, by reason."""
    first_rating_time: datetime | None
    """``None`` where the ratings have no times."""
    last_rating_time: datetime | None


@dataclass(frozen=True, slots=True)
class RatingMetrics:
    """Errors of predicted ratings over all held-out ratings, unknown users and items included."""

    predictor: RatingPredictor
    mse: float
    rmse: float
    mae: float


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """Means over the users who have a relevant held-out item; each from 0 to 1.

    Relevant is what was rated in the upper quarter of the scale, or where the data have no ratings, any item.
    """

    ranker: Ranker
    ndcg_at_10: float
    recall_at_20: float
    coverage_at_10: float
    """Share of all items that are among anybody's first 10."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of the holdout fit, measured on a snapshot as the server would answer from it."""

    holdout_ratings: int
    ranking_users: int
    """Users with a relevant held-out item."""
    rating: tuple[RatingMetrics, ...]
    """Baselines beside the heads."""
    ranking: tuple[RankingMetrics, ...]


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one promotion gate found."""

    gate: Gate
    outcome: GateOutcome
    value: float | None
    """Measured of the new version; of OVERLAP the share that both have. ``None`` where it was skipped."""
    incumbent_value: float | None
    """The same of the incumbent. ``None`` where it was skipped, and for OVERLAP."""
    bound: float | None
    """As ``PromotionGates`` has it. ``None`` where it was skipped."""
    message: str
    """One sentence with the numbers, or why there are none."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the promotion gates found when a version was published."""

    alias: str
    """The alias that named the incumbent."""
    incumbent_version: int | None
    """The version that the new one was compared with; ``None`` where there was no such alias."""
    revision: int
    """The alias's revision at that time; 0 where there was no such alias."""
    results: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that was stored with a version, such as a training curve."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact with its bytes."""

    artifact: Artifact
    data: bytes


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """The approximate index by which a version's items are searched."""

    kind: str
    """Such as ``faiss-ivf``."""
    recall: float
    """Share of the exact best ten that it finds, on the average over users, as the training measured it; 0 to 1."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One published snapshot under a model's name."""

    model: str
    version: int
    digest: str
    create_time: datetime | None
    job_id: str
    """Empty for a version that was imported from another registry."""
    dataset: DatasetFacts
    spec: TrainingSpec
    """Every default filled in."""
    evaluation: Evaluation | None
    """``None`` where nothing was held out."""
    aliases: tuple[str, ...]
    size_bytes: int
    artifacts: tuple[Artifact, ...]
    index: ItemIndex | None = None
    """``None`` where items are searched exactly."""
    gates: GateReport | None = None
    """What the promotion gates found; ``None`` where they did not run."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """All embeddings of one side of a version. ``numpy.asarray`` of its arrays copies nothing."""

    served_version: ServedVersion
    side: EmbeddingSide
    head: Head
    ids: tuple[str, ...]
    """Ids of the rows."""
    values: memoryview[float]
    """float32 of shape (len(ids), dimension)."""
    biases: array.array[float] | None
    """float32, one per row; ``None`` where the head has no biases."""
    intercept: float
    """The rating head's constant: a rating is intercept + user bias + item bias + inner product."""

    @property
    def dimension(self) -> int:
        """Numbers per row."""
        shape = self.values.shape or (0, 0)
        return shape[1]


@dataclass(frozen=True, slots=True)
class ServingVersion:
    """A version in a server process."""

    served_version: ServedVersion
    aliases: tuple[str, ...]
    """The aliases for which the process answers from it."""
    state: ServingState
    message: str
    """Why it could not be loaded, what mends it and who answers its users meanwhile; empty otherwise."""
    streams: int = 0
    """Bulk streams under way that only this version may go on with."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server process."""

    server_id: str
    host: str
    pid: int
    release: str
    start_time: datetime | None
    heartbeat_time: datetime | None
    versions: tuple[ServingVersion, ...]


@dataclass(frozen=True, slots=True)
class RegistryContact:
    """Whether the registry answers a server process. While it does not, aliases answer from what they named last."""

    lost_time: datetime | None = None
    """Since when it does not answer; None: it answers."""
    message: str = ""
    """Why it does not; empty while it answers."""
    read_time: datetime | None = None
    """When it last told which versions the aliases name, within a minute where that was before the process started."""


@dataclass(frozen=True, slots=True)
class ServingStatus:
    """All live server processes of a registry; while it does not answer, the one that answered."""

    servers: tuple[ServerStatus, ...]
    answered_by: str
    """The ``server_id`` of the process that answered."""
    registry: RegistryContact = RegistryContact()
    """How that process stands with the registry."""
