"""The manifest: what a snapshot's files are, and everything about it that is not an array."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from mfserve_registry.canonical import canonical_json
from mfserve_registry.spec import RatingScale

FORMAT: Literal[1] = 1
"""Number of the format that this module reads and writes."""

FILE_NAME = "manifest.json"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ArrayEntry(_Part):
    """One array file."""

    file: str
    """``<name of the array>.npy``: a name inside the snapshot's folder, never a path."""
    dtype: Literal["|u1", "<i4", "<i8", "<f4"]
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    bytes: int = Field(ge=0)
    """Size of the file, header included."""
    sha256: Sha256
    """Of the whole file."""


def _absent(value: object) -> bool:
    return value is None


class PosteriorEntry(_Part):
    """Sizes of the posterior's arrays; see ``content.Posterior``."""

    samples: int = Field(ge=2)
    """S."""
    width: int = Field(ge=2)
    """d, the length of a sample's row: its factors and its bias."""


class RatingEntry(_Part):
    """Scalars of the rating head; see ``content.RatingHead``."""

    factors: int = Field(ge=1)
    intercept: _Finite
    regularization: _Finite
    folds_bias: bool
    # Left out where there is none: older heads keep their bytes, and so their digests.
    posterior: PosteriorEntry | None = Field(None, exclude_if=_absent)

    @model_validator(mode="after")
    def _folds_as_the_prior_does(self) -> RatingEntry:
        if self.posterior is not None and not self.folds_bias:
            raise ValueError("a head with a posterior folds the bias in")
        return self


class IndexEntry(_Part):
    """Scalars of the index; see ``content.ItemIndex``."""

    kind: Literal["faiss-ivf"]
    """What its bytes are."""
    probes: int = Field(ge=1)
    recall: float = Field(ge=0, le=1, allow_inf_nan=False)


class RankingEntry(_Part):
    """Scalars of the ranking head; see ``content.RankingHead``."""

    factors: int = Field(ge=1)
    regularization: _Finite
    unobserved_weight: _Finite
    frequency_exponent: _Finite
    targets: tuple[_Finite, ...] = Field(min_length=2)
    # Left out where there is none, as a posterior is.
    index: IndexEntry | None = Field(None, exclude_if=_absent)


class Manifest(_Part):
    """The whole of manifest.json, format 1.

    ``arrays`` is keyed by the names in ``layout.py``.
    """

    format: Literal[1]
    users: int = Field(ge=1)
    items: int = Field(ge=1)
    titles: bool
    """Whether the items have titles."""
    scale: RatingScale | None
    """None where the training data have no ratings."""
    mean_rating: _Finite | None
    """None without a rating head, and only then."""
    rating: RatingEntry | None
    ranking: RankingEntry | None
    facts: dict[str, JsonValue]
    """What the training says of itself: specification, data set, split, metrics."""
    arrays: dict[str, ArrayEntry]

    @model_validator(mode="after")
    def _heads(self) -> Manifest:
        if self.rating is None and self.ranking is None:
            raise ValueError("a snapshot has a rating head, a ranking head or both")
        if (self.rating is None) != (self.mean_rating is None):
            raise ValueError("a rating head and a mean rating come together")
        if self.rating is not None and self.scale is None:
            raise ValueError("a rating head needs a scale")
        return self

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no white space, UTF-8, floats in their shortest exact form.

        Raises:
            ValueError: a fact is NaN or infinite, or holds a lone surrogate.
        """
        return canonical_json(self.model_dump(mode="python")).encode()


def digest_of(manifest: bytes) -> str:
    """A snapshot's digest: the SHA-256 of its manifest's bytes, as 64 hex digits."""
    return sha256(manifest).hexdigest()
