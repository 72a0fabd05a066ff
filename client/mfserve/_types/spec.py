"""How to train, and on which ratings. ``None`` leaves a choice to the server, whose answers show what it took.

The fields have the names of the protocol's messages; units, ranges and defaults are those of
``protos/mfserve/v1/training_service.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from mfserve._types.enums import Head

__all__ = [
    "Als",
    "AutoRating",
    "Bayes",
    "BuiltinDataset",
    "Dataset",
    "FileDataset",
    "Ials",
    "Keras",
    "KeyedHash",
    "NoRanking",
    "NoRating",
    "NoSplit",
    "PromotionGates",
    "RandomSplit",
    "RatingScale",
    "TrainingSpec",
    "Tuning",
    "Index",
    "UploadedDataset",
]


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The closed interval in which ratings lie."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras:
    """Rating engine: the Keras dot-product network. With the defaults, the published article's network exactly."""

    factors: int | None = None
    """Length of an embedding, 1 to 1024. Default 10."""
    epochs: int | None = None
    """Passes over the training rows, 1 to 1000. Default 10."""
    batch_size: int | None = None
    """Rows per gradient step, 1 to 1,048,576. Default 32."""
    learning_rate: float | None = None
    """Step size of Adam, over 0, at most 10. Default 0.001."""
    biases: bool | None = None
    """Whether to add the mean and user and item biases to the dot product. Default False."""
    l2: float | None = None
    """L2 penalty on the embeddings and biases of a batch, 0 to 100. Default 0."""
    non_negative: bool | None = None
    """Whether embeddings are kept non-negative. Default False."""
    early_stopping_patience: int | None = None
    """Stop after so many epochs, 1 to 1000, without a better validation loss. Default: never."""
    validation_fraction: float | None = None
    """Share of the training rows kept for early stopping, between 0 and 1. Default 0.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Als:
    """Rating engine: explicit alternating least squares with biases."""

    factors: int | None = None
    """Length of an embedding, 1 to 512."""
    iterations: int | None = None
    """Sweeps over users and items, 1 to 500."""
    regularization: float | None = None
    """Penalty on a row, per rating of the row; over 0, at most 1000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bayes:
    """Rating engine: Bayesian matrix factorization, which also tells how sure a prediction is."""

    factors: int | None = None
    """Length of an embedding in a sample, 1 to 128."""
    burn_in: int | None = None
    """Sweeps over users and items before the first sample, 0 to 10,000."""
    samples: int | None = None
    """Sweeps after them, 40 to 10,000; 40 samples, spread evenly, are kept."""
    served_factors: int | None = None
    """Length of a served embedding, into which the samples are compressed, 1 to 512."""
    interaction_features: int | None = None
    """How many features of who rated what the priors depend on, 0 to 512."""


@dataclass(frozen=True, slots=True)
class AutoRating:
    """Rating engine: the trainer's choice, which the version tells. The default."""


@dataclass(frozen=True, slots=True)
class NoRating:
    """No rating head: no ratings are predicted, neither alone nor beside recommendations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ials:
    """Ranking engine: implicit alternating least squares with graded targets. The default engine."""

    factors: int | None = None
    """Length of an embedding, 1 to 1024."""
    iterations: int | None = None
    """Sweeps over users and items, 1 to 500."""
    regularization: float | None = None
    """Penalty of an average row; over 0, at most 1000."""
    unobserved_weight: float | None = None
    """How much a pair that nobody rated counts against 1 of a rated pair; over 0, at most 1000."""
    frequency_exponent: float | None = None
    """How the penalty grows with a row's frequency: its exponent, 0 to 2."""


@dataclass(frozen=True, slots=True)
class NoRanking:
    """No ranking head: recommendations are ranked by the rating head, and say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedHash:
    """Holds out a rating by a keyed hash of (user, item): it stays held out in later trainings. The default."""

    fraction: float | None = None
    """Expected share of ratings held out, between 0 and 1. Default 0.2."""
    key: str | None = None
    """Another key holds out other ratings; 1 to 64 characters. Default ``mfserve``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSplit:
    """Holds out a random share of the rows."""

    fraction: float | None = None
    """Share of ratings held out, between 0 and 1. Default 0.2."""
    seed: int | None = None
    """Seed of the choice, 0 to 4,294,967,295. Default 0."""


@dataclass(frozen=True, slots=True)
class NoSplit:
    """Holds out nothing: the version has no metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Searches the parameters of the engines that matter, on a validation part of the training part, before the fits.

    The first trial is the configuration that is given. The version shows the one that was chosen, and its artifact
    ``tuning-trials.json`` holds every trial.
    """

    trials: int | None = None
    """Configurations tried for each head, 1 to 1000. Default 20."""
    seconds: float | None = None
    """No trial of a head begins once the trials of this head have taken so long; over 0, at most 604,800. Default: no
    limit."""
    validation_fraction: float | None = None
    """Share of the training part on which trials are compared, between 0 and 1. Default 0.2."""
    head: Head | Literal["rating", "ranking"] | None = None
    """The head that is tuned. Default: every head that is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionGates:
    """How bad a new version may be beside the one that the alias names. ``None`` leaves a bound to the server."""

    off: bool = False
    """Compare nothing: the alias moves whatever was trained."""
    max_rmse_increase: float | None = None
    """How much higher the RMSE may be, as a share of the incumbent's, 0 to 1,000. Default 0.02."""
    max_ndcg_decrease: float | None = None
    """How much lower nDCG@10 may be, as a share of the incumbent's, 0 to 1. Default 0.05."""
    max_norm_factor: float | None = None
    """By which factor a head's norm may differ, 1 to 1,000,000. Default 3."""
    min_vocabulary_share: float | None = None
    """Share of the incumbent's number of users, and of items, that there must be, 0 to 1. Default 0.8."""
    min_overlap: float | None = None
    """Share of the incumbent's ten best items that must be among the new ten, 0 to 1. Default 0: only reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An approximate index of the ranking head's items, for catalogues of a hundred thousand or more.

    They are searched in a part of the time. Every answer that it gives says what share of the exact best ten it finds;
    ``exact=True`` asks for the exact search.
    """

    recall: float | None = None
    """That share, on the average over users: what the index is to reach, 0.5 to 0.999. Default 0.95."""
    clusters: int | None = None
    """Clusters that the items are divided into, 1 to 65,536. Default: about twice the square root of their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """How a version is trained, or was."""

    rating: AutoRating | Bayes | Als | Keras | NoRating | None = None
    ranking: Ials | NoRanking | None = None
    split: KeyedHash | RandomSplit | NoSplit | None = None
    refit: bool | None = None
    """Whether what is served is fitted again on all ratings. Default True."""
    seed: int | None = None
    """Seed of the training, 0 to 4,294,967,295. Default 0."""
    tuning: Tuning | None = None
    """How the parameters of the engines are tuned. Default: they are not."""
    index: Index | None = None
    """An approximate index of the ranking head. Default: items are searched exactly."""


ENGINES: Final[dict[type[Any], str]] = {
    AutoRating: "auto",
    Bayes: "bayes",
    Als: "als",
    Keras: "keras",
    NoRating: "none",
    Ials: "ials",
    NoRanking: "none",
}
"""Names of the engines, by the class of their options."""
SPLITS: Final[dict[type[Any], str]] = {KeyedHash: "keyed_hash", RandomSplit: "random", NoSplit: "none"}
"""Names of the splits, likewise."""


@dataclass(frozen=True, slots=True)
class BuiltinDataset:
    """A public data set that the trainer fetches and caches by itself."""

    name: str
    """``movielens-100k``, ``-1m``, ``-latest-small``, ``-20m`` or ``-25m``."""


@dataclass(frozen=True, slots=True)
class FileDataset:
    """A file under one of the data roots of server and trainer (``MFSERVE_DATA_ROOTS``)."""

    path: str
    """Absolute, or relative to a data root."""
    format: Literal["csv", "tsv", "parquet"] | None = None
    """``None``: by the ending of the name."""
    user_column: str | None = None
    """``None``: ``user_id``."""
    item_column: str | None = None
    """``None``: ``item_id``."""
    rating_column: str | None = None
    """``None``: ``rating``. Not read where the data set is implicit."""
    timestamp_column: str | None = None
    """Times in seconds since the epoch. ``None``: there are none."""
    title_column: str | None = None
    """Titles of the items. ``None``: there are none."""


@dataclass(frozen=True, slots=True)
class UploadedDataset:
    """Ratings that were sent with ``upload_dataset``."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where ratings come from and what happens to rows that are wrong."""

    source: BuiltinDataset | FileDataset | UploadedDataset | None
    """``None``: of a kind that this release does not know."""
    bad_rows: Literal["fail", "skip"] | None = None
    """A missing field, a rating that is not a number or outside the scale: fail the job, or leave it out."""
    duplicates: Literal["fail", "first", "last", "mean"] | None = None
    """One user rated one item more than once: fail the job, or which rating counts. Default ``last``."""
    scale: RatingScale | None = None
    """``None``: the data set's own, or the lowest and highest rating found."""
    implicit: bool = False
    """The rows say only that a user chose an item: there are no ratings, or they are not to be read."""
