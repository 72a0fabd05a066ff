"""The promotion gates: a version beside the one that it would replace.

That all numbers are finite is no gate: what is not is no snapshot, and the publication refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.gates import Gate, GateOutcome, GateResult, PromotionGates
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.snapshot.content import Floats, RankingHead, RatingHead
from mfserve_scoring import Recommender
from mfserve_trainer.holdout_rows import HoldoutRows

_SAMPLED_USERS = 200
_TOP = 10


@dataclass(frozen=True, slots=True)
class Contender:
    """A version, as far as gates look at it.

    Attributes:
        snapshot: what is served.
        holdout: what its holdout fit said of the rows held out; None where none was, or an older release trained it.
    """

    snapshot: Snapshot
    holdout: HoldoutRows | None


def judge(new: Contender, incumbent: Contender, bounds: PromotionGates) -> tuple[GateResult, ...]:
    """What every gate finds, in the order of ``Gate``."""
    return (
        *_sizes(new, incumbent, bounds),
        *_norms(new, incumbent, bounds),
        *_holdouts(new, incumbent, bounds),
        _overlap(new.snapshot, incumbent.snapshot, bounds),
    )


def skip_all(why: str) -> tuple[GateResult, ...]:
    """Every gate, skipped for one reason: a sentence."""
    return tuple(_skipped(gate, why) for gate in Gate)


def _sizes(new: Contender, incumbent: Contender, bounds: PromotionGates) -> Iterator[GateResult]:
    share = bounds.min_vocabulary_share
    for gate, noun, ours, theirs in (
        (Gate.USERS, "users", new.snapshot.users, incumbent.snapshot.users),
        (Gate.ITEMS, "items", new.snapshot.items, incumbent.snapshot.items),
    ):
        yield _found(
            gate,
            len(ours) >= share * len(theirs),
            (len(ours), len(theirs), share),
            f"{len(ours):,} {noun}, {_percent(len(ours) / len(theirs))} of the incumbent's {len(theirs):,}; "
            f"at least {_percent(share)} must be there",
        )


def _norms(new: Contender, incumbent: Contender, bounds: PromotionGates) -> Iterator[GateResult]:
    factor = bounds.max_norm_factor
    for gate, noun, ours, theirs in (
        (Gate.RATING_NORMS, "rating head", new.snapshot.rating, incumbent.snapshot.rating),
        (Gate.RANKING_NORMS, "ranking head", new.snapshot.ranking, incumbent.snapshot.ranking),
    ):
        if ours is None or theirs is None:
            yield _skipped(gate, f"{'The new version' if ours is None else 'The incumbent'} has no {noun}.")
            continue
        value, known = norm(ours), norm(theirs)
        yield _found(
            gate,
            known / factor <= value <= known * factor,
            (value, known, factor),
            f"The {noun}'s embeddings have the norm {value:.3g}, the incumbent's {known:.3g}; "
            f"at most {factor:g} times more or less is allowed",
        )


def norm(head: RatingHead | RankingHead) -> float:
    """The mean norm of a user's factors times that of an item's.

    The product, because a head with its users' factors doubled and its items' halved answers the same.
    """
    return _mean_norm(head.user_factors) * _mean_norm(head.item_factors)


def _mean_norm(factors: Floats) -> float:
    squares: NDArray[np.float32] = np.einsum("rk,rk->r", factors, factors)
    return float(np.mean(np.sqrt(squares, dtype=np.float64)))


def _holdouts(new: Contender, incumbent: Contender, bounds: PromotionGates) -> Iterator[GateResult]:
    if new.holdout is None or incumbent.holdout is None:
        whose = "new version" if new.holdout is None else "incumbent"
        why = f"The {whose} keeps no record of a holdout fit, so the two cannot be compared."
        yield _skipped(Gate.RATING_ERROR, why)
        yield _skipped(Gate.RANKING_QUALITY, why)
        return
    ours, theirs = new.holdout.with_those_of(incumbent.holdout)
    yield _rating_error(ours, theirs, bounds.max_rmse_increase)
    yield _ranking_quality(ours, theirs, bounds.max_ndcg_decrease)


def _rating_error(ours: HoldoutRows, theirs: HoldoutRows, bound: float) -> GateResult:
    value, known = ours.rmse(), theirs.rmse()
    if math.isnan(value) or math.isnan(known):
        return _skipped(Gate.RATING_ERROR, "No rating that both versions held out was predicted by both.")
    return _found(
        Gate.RATING_ERROR,
        value <= (1 + bound) * known,
        (value, known, bound),
        f"RMSE {value:.4f} on the {len(ours):,} ratings that both versions held out, the incumbent's {known:.4f}; "
        f"{_percent(bound)} more is allowed",
    )


def _ranking_quality(ours: HoldoutRows, theirs: HoldoutRows, bound: float) -> GateResult:
    # Relevant by the new version's scale for both.
    value, known = ours.ndcg_at_10(ours.relevant), theirs.ndcg_at_10(ours.relevant)
    if math.isnan(value) or math.isnan(known):
        return _skipped(Gate.RANKING_QUALITY, "The two versions held out no relevant item in common.")
    return _found(
        Gate.RANKING_QUALITY,
        value >= (1 - bound) * known,
        (value, known, bound),
        f"nDCG@10 {value:.4f} by the {len(ours):,} ratings that both versions held out, the incumbent's {known:.4f}; "
        f"{_percent(bound)} less is allowed",
    )


def _overlap(new: Snapshot, incumbent: Snapshot, bounds: PromotionGates) -> GateResult:
    sampled = np.linspace(0, len(incumbent.users) - 1, min(_SAMPLED_USERS, len(incumbent.users)))
    users = [user for user in incumbent.users.take(sampled.astype(np.intp)) if new.users.index(user) >= 0]
    ours, theirs = _best(new, users), _best(incumbent, users)
    shares = [len(mine & other) / len(other) for mine, other in zip(ours, theirs, strict=True) if other]
    if not shares:
        return _skipped(
            Gate.OVERLAP, "The two versions have no user in common to whom items can be recommended."
        )
    value = float(np.mean(shares))
    return GateResult(
        gate=Gate.OVERLAP,
        outcome=_outcome(value >= bounds.min_overlap),
        value=value,
        bound=bounds.min_overlap,
        message=f"Of the ten items that the incumbent recommends to each of {len(shares):,} users, the new version "
        f"recommends {_percent(value)}; at least {_percent(bounds.min_overlap)} is asked for.",
    )


def _best(snapshot: Snapshot, users: list[str]) -> list[set[str]]:
    """Ids of each user's ten best items."""
    batch = Recommender(snapshot).recommend_many(users, _TOP, predict=False)
    items = iter(snapshot.items.take(batch.item_indices))
    return [{next(items) for _ in range(count)} for count in batch.counts]


def _found(gate: Gate, passed: bool, numbers: tuple[float, float, float], message: str) -> GateResult:
    value, known, bound = numbers
    return GateResult(
        gate=gate,
        outcome=_outcome(passed),
        value=value,
        incumbent_value=known,
        bound=bound,
        message=f"{message}.",
    )


def _outcome(passed: bool) -> GateOutcome:
    return GateOutcome.PASSED if passed else GateOutcome.FAILED


def _skipped(gate: Gate, why: str) -> GateResult:
    return GateResult(gate=gate, outcome=GateOutcome.SKIPPED, message=why)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
