"""What a training is asked to do: the names and limits of data sets, splits and engines.

These models are the single source of every default and limit. The server refuses a bad request with them,
the trainer reads its configuration from them, and the snapshot's manifest records them.
"""

from __future__ import annotations

from ctypes import c_float
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

BUILTIN_DATASETS = (
    "movielens-100k",
    "movielens-1m",
    "movielens-latest-small",
    "movielens-20m",
    "movielens-25m",
)


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RatingScale(_Spec):
    """The closed interval in which ratings lie."""

    minimum: float = Field(allow_inf_nan=False)
    """Lowest rating a user can give."""
    maximum: float = Field(allow_inf_nan=False)
    """Highest rating a user can give; must exceed ``minimum``."""

    def holds(self, rating: float) -> bool:
        """Whether a rating lies in the interval; NaN does not.

        As far as float32 can tell: ratings travel as float32, in which 4.9 is a little more than the double 4.9.
        """
        return c_float(self.minimum).value <= c_float(rating).value <= c_float(self.maximum).value

    @model_validator(mode="after")
    def _ordered(self) -> RatingScale:
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} must be below maximum {self.maximum:g}")
        return self


class BuiltinDataset(_Spec):
    """A public data set that the trainer fetches and caches by itself."""

    kind: Literal["builtin"] = "builtin"
    name: Literal[
        "movielens-100k", "movielens-1m", "movielens-latest-small", "movielens-20m", "movielens-25m"
    ]
    """One of ``BUILTIN_DATASETS``."""


class FileDataset(_Spec):
    """A file under one of the trainer's allowed data roots."""

    kind: Literal["file"] = "file"
    path: str = Field(min_length=1, max_length=4096)
    """Absolute path, or one relative to a data root."""
    format: Literal["auto", "csv", "tsv", "parquet"] = "auto"
    """``auto`` goes by the file's ending."""
    user_column: str = Field("user_id", min_length=1, max_length=256)
    item_column: str = Field("item_id", min_length=1, max_length=256)
    rating_column: str = Field("rating", min_length=1, max_length=256)
    timestamp_column: str | None = Field(None, min_length=1, max_length=256)
    """Whole seconds since the epoch; only kept as a fact about the data."""
    title_column: str | None = Field(None, min_length=1, max_length=256)
    """A title of the item, repeated on its rows; the first one that is not empty counts."""


class UploadedDataset(_Spec):
    """Ratings that a caller sent with UploadDataset."""

    kind: Literal["upload"] = "upload"
    upload_id: str = Field(min_length=1, max_length=64)


class DatasetSpec(_Spec):
    """Where the ratings come from and what happens to rows that are wrong."""

    source: Annotated[BuiltinDataset | FileDataset | UploadedDataset, Field(discriminator="kind")]
    bad_rows: Literal["fail", "skip"] = "fail"
    """A row with a missing field, a rating that is not a number, or one outside the scale: fail the job
    naming file, line and reason, or leave the row out and count it."""
    duplicates: Literal["fail", "first", "last", "mean"] = "last"
    """The same (user, item) twice: fail, or which of the ratings counts, in file order."""
    scale: RatingScale | None = None
    """Absent: the data set's own scale, else the smallest and largest rating found."""
    implicit: bool = False
    """The rows say only that a user chose an item: there are no ratings, or they are not read."""

    @model_validator(mode="after")
    def _scale_of_ratings(self) -> DatasetSpec:
        if self.implicit and self.scale is not None:
            raise ValueError("implicit data have no ratings, and so no scale: leave one of the two out")
        return self


class KeyedHashSplit(_Spec):
    """Holds out a row by a keyed hash of (user, item), so that it stays held out in later trainings."""

    kind: Literal["keyed_hash"] = "keyed_hash"
    fraction: float = Field(0.2, gt=0, lt=1)
    """Expected share of rows held out."""
    key: str = Field("mfserve", min_length=1, max_length=64)
    """Another key holds out other rows."""


class RandomSplit(_Spec):
    """scikit-learn's ``train_test_split`` on the rows in file order."""

    kind: Literal["random"] = "random"
    fraction: float = Field(0.2, gt=0, lt=1)
    """Share of rows held out (``test_size``)."""
    seed: int = Field(0, ge=0, lt=2**32)
    """``random_state``."""


class NoSplit(_Spec):
    """Trains on every row; no metrics are measured."""

    kind: Literal["none"] = "none"


class KerasConfig(_Spec):
    """The Keras dot-product network. With the defaults, the published article's network exactly."""

    engine: Literal["keras"] = "keras"
    factors: int = Field(10, ge=1, le=1024)
    """Length of an embedding."""
    epochs: int = Field(10, ge=1, le=1000)
    """Passes over the training rows."""
    batch_size: int = Field(32, ge=1, le=1_048_576)
    """Rows per gradient step."""
    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Adam's step size."""
    biases: bool = False
    """Add a global mean and user and item biases to the dot product."""
    l2: float = Field(0.0, ge=0, le=100)
    """L2 penalty on the embeddings (and biases) of a batch."""
    non_negative: bool = False
    """Constrain embeddings to be non-negative."""
    early_stopping_patience: int | None = Field(None, ge=1, le=1000)
    """Stop after so many epochs without a better validation loss and keep the best epoch's weights;
    absent: never stop early."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the training rows kept for early stopping; unused without ``early_stopping_patience``."""

    @property
    def passes(self) -> int:
        """How often a training goes over the ratings, at most."""
        return self.epochs


KEPT_SAMPLES = 40
"""Samples that engine ``bayes`` keeps, spread evenly over the sweeps after burn-in."""


class BayesConfig(_Spec):
    """Bayesian matrix factorization: Gibbs sampling, averaged over many samples."""

    engine: Literal["bayes"] = "bayes"
    factors: int = Field(12, ge=1, le=128)
    """Length of an embedding in a sample."""
    burn_in: int = Field(30, ge=0, le=10_000)
    """Sweeps before the first sample."""
    samples: int = Field(120, ge=KEPT_SAMPLES, le=10_000)
    """Sweeps after burn-in; ``KEPT_SAMPLES`` of them, spread evenly, make the head."""
    served_factors: int = Field(32, ge=1, le=512)
    """Length of a served embedding, into which the samples are compressed."""
    interaction_features: int = Field(50, ge=0, le=512)
    """Features of who rated what that a row's prior mean depends on; 0 for none."""

    @property
    def passes(self) -> int:
        """How often a training goes over the ratings."""
        return self.burn_in + self.samples


class AlsConfig(_Spec):
    """Explicit alternating least squares with the biases inside each solve."""

    engine: Literal["als"] = "als"
    factors: int = Field(20, ge=1, le=512)
    iterations: int = Field(20, ge=1, le=500)
    """Each solves all users, then all items."""
    regularization: float = Field(0.125, gt=0, le=1000)
    """λ; a row's penalty is λ times its number of ratings, in units of the ratings' standard deviation."""

    @property
    def passes(self) -> int:
        """How often a training goes over the ratings."""
        return self.iterations


class AutoRating(_Spec):
    """Leaves the choice of the engine to the trainer, which knows the data."""

    engine: Literal["auto"] = "auto"


class NoRating(_Spec):
    """Trains no rating head: PredictRating is then refused, and recommendations come without predicted ratings."""

    engine: Literal["none"] = "none"


class IalsConfig(_Spec):
    """Implicit ALS with graded targets (Rendle et al. 2021, arXiv:2110.14037; the grading is mfserve's)."""

    engine: Literal["ials"] = "ials"
    factors: int = Field(48, ge=1, le=1024)
    iterations: int = Field(12, ge=1, le=500)
    """Each solves all users, then all items."""
    regularization: float = Field(6.0, gt=0, le=1000)
    """λ, the penalty of an average row."""
    unobserved_weight: float = Field(0.38, gt=0, le=1000)
    """α₀: how much a pair that nobody rated counts against an observed pair's 1."""
    frequency_exponent: float = Field(1.0, ge=0, le=2)
    """ν: a row's penalty is λ times the ν-th power of its n + α₀ N over the average row's, N being the size of the
    other side."""

    @property
    def passes(self) -> int:
        """How often a training goes over the ratings."""
        return self.iterations


class NoRanking(_Spec):
    """Trains no ranking head: Recommend is then ranked by predicted rating, and says so."""

    engine: Literal["none"] = "none"


class IndexConfig(_Spec):
    """An approximate index of the ranking head's items, for catalogues so large that the exact search takes too long.

    Items in clusters of which a search looks at the nearest alone: as few as find the recall that is asked for.
    """

    recall: float = Field(0.95, ge=0.5, le=0.999)
    """Share of the exact best ten that a search is to find, on the average over users."""
    clusters: int | None = Field(None, ge=1, le=65_536)
    """How many; absent: about twice the square root of the number of items."""


class TuningConfig(_Spec):
    """Searches the parameters of an engine that matter, on a validation part of the training rows, before the fits.

    The first trial is the configuration that is given, so that what is chosen is never worse on the validation part.
    """

    trials: int = Field(20, ge=1, le=1000)
    """Configurations tried, for each head."""
    seconds: float | None = Field(None, gt=0, le=604_800)
    """No trial of a head begins once the trials of this head have taken so long; absent: no limit. With a limit, how
    many trials there are depends on the machine, and so may the result."""
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the training rows on which trials are compared; the others are what they are fitted on."""
    head: Literal["both", "rating", "ranking"] = "both"
    """Which head is tuned; ``both``: every head that is trained."""


class TrainingSpec(_Spec):
    """How to train one version."""

    rating: Annotated[
        AutoRating | KerasConfig | AlsConfig | BayesConfig | NoRating, Field(discriminator="engine")
    ] = AutoRating()
    """The head that answers PredictRating."""
    ranking: Annotated[IalsConfig | NoRanking, Field(discriminator="engine")] = IalsConfig()
    """The head that ranks Recommend."""
    split: Annotated[KeyedHashSplit | RandomSplit | NoSplit, Field(discriminator="kind")] = KeyedHashSplit()
    refit: bool = True
    """Serve a second fit on all rows; False serves the holdout fit itself."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seeds every random choice of the training except the split's."""
    tuning: TuningConfig | None = None
    """Absent: the engines are fitted as given. A version's facts hold the configuration that was chosen."""
    index: IndexConfig | None = None
    """Absent: items are searched exactly."""

    @model_validator(mode="after")
    def _some_head(self) -> TrainingSpec:
        if self.rating.engine == "none" and self.ranking.engine == "none":
            raise ValueError(
                "with neither a rating nor a ranking engine there is nothing to train: choose one"
            )
        return self

    @model_validator(mode="after")
    def _indexes_what_it_trains(self) -> TrainingSpec:
        if self.index and isinstance(self.ranking, NoRanking):
            raise ValueError("an index is of the ranking head, but none is trained: leave one of the two out")
        return self

    @model_validator(mode="after")
    def _tunes_what_it_trains(self) -> TrainingSpec:
        if self.tuning and self.tuning.head == "ranking" and isinstance(self.ranking, NoRanking):
            raise ValueError("tuning is to search the ranking head, but none is trained")
        if self.tuning and self.tuning.head == "rating" and isinstance(self.rating, NoRating):
            raise ValueError("tuning is to search the rating head, but none is trained")
        return self
