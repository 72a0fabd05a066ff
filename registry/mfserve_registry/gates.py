"""Promotion gates: what a version must show, beside the one it would replace, before an alias moves to it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class PromotionGates(BaseModel):
    """The bounds of the gates: the single source of their defaults and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    off: bool = False
    """Compare nothing: the alias moves whatever was trained."""
    max_rmse_increase: float = Field(0.02, ge=0, le=1000)
    """How much worse the rating head's RMSE may be, as a share of the incumbent's."""
    max_ndcg_decrease: float = Field(0.05, ge=0, le=1)
    """How much worse the nDCG@10 may be, as a share of the incumbent's; 1 lets anything pass."""
    max_norm_factor: float = Field(3.0, ge=1, le=1_000_000)
    """By which factor a head's embeddings may be longer or shorter than the incumbent's."""
    min_vocabulary_share: float = Field(0.8, ge=0, le=1)
    """Share of the incumbent's numbers of users and of items that must be there; 0 lets anything pass."""
    min_overlap: float = Field(0.0, ge=0, le=1)
    """Share of the incumbent's ten best items that must be among the new ten; at 0 it is only reported."""


class Gate(StrEnum):
    """What is compared."""

    USERS = "USERS"
    ITEMS = "ITEMS"
    RATING_NORMS = "RATING_NORMS"
    RANKING_NORMS = "RANKING_NORMS"
    RATING_ERROR = "RATING_ERROR"
    RANKING_QUALITY = "RANKING_QUALITY"
    OVERLAP = "OVERLAP"


class GateOutcome(StrEnum):
    """How a comparison ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    """There was nothing to compare with."""


class _Found(BaseModel):
    # What a newer release has written besides is no reason not to read it.
    model_config = ConfigDict(frozen=True, extra="ignore")


class GateResult(_Found):
    """What one gate found."""

    gate: str
    """A ``Gate``, or one that only a newer release knows."""
    outcome: GateOutcome
    message: str
    """One sentence with the numbers, or why there are none."""
    value: float | None = None
    """What was measured of the new version; absent where the gate was skipped, like the two below."""
    incumbent_value: float | None = None
    """The same of the incumbent; absent for OVERLAP too, which is of both."""
    bound: float | None = None
    """The bound that applied, as ``PromotionGates`` has it."""


class GateReport(_Found):
    """What all gates found, and beside what."""

    alias: str
    """The alias that names the incumbent."""
    incumbent: int | None = Field(ge=1, lt=2**63)
    """The version that the alias named, its heaviest target; None where there was no such alias.

    Of a version that was imported: its number in the registry that it was trained in, as is the revision.
    """
    revision: int = Field(ge=0, lt=2**63)
    """The alias's revision as it was read; 0 where there was none."""
    results: tuple[GateResult, ...]

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that keep an alias from being moved."""
        return tuple(result for result in self.results if result.outcome is GateOutcome.FAILED)


class Promotion(_Found):
    """What became of the alias that a job asked for."""

    alias: str
    promoted: bool
    reason: str
    """Why it was not moved; empty where it was."""
