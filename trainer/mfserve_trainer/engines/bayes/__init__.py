"""Engine ``bayes``: Bayesian matrix factorization by Gibbs sampling, served as one dot product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import KEPT_SAMPLES, BayesConfig
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.bayes.chain import Chain, Sample
from mfserve_trainer.engines.bayes.posterior import head_of
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.engines.units import Units
from mfserve_trainer.ratings import Ratings


def fit(
    ratings: Ratings, config: BayesConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RatingHead]:
    """Trains the head; see ``engines.fit_rating``. An epoch is a sweep: all users, the noise, all items."""
    units = Units.of(ratings)
    chain = Chain(ratings, units, config.factors, config.interaction_features, seed)
    total = config.burn_in + config.samples
    kept = set(config.burn_in + np.linspace(0, config.samples - 1, KEPT_SAMPLES).round().astype(int))
    samples: list[Sample] = []
    with TrainingLog("rating", total, report, log_dir) as log:
        for number in range(total):
            sample = chain.sweep()
            require_finite("bayes", sample.users, sample.items, sample.user_noise)
            if number in kept:
                samples.append(sample)
            # In the ratings' own units: an error is σ times as large, a density 1/σ.
            metrics = {
                "loss": sample.loss + math.log(units.deviation),
                "mse": sample.mse * units.deviation**2,
            }
            log.epoch(metrics, partial(_head, samples, units, config) if len(samples) >= 2 else None)
    return Fitted(_head(samples, units, config), log.artifacts())


def _head(samples: Sequence[Sample], units: Units, config: BayesConfig) -> RatingHead:
    head = units.original(head_of(samples, config.served_factors))
    require_finite("bayes", head.user_factors, head.user_biases, head.item_factors, head.item_biases)
    return head
