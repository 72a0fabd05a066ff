"""Engine ``bayes``: Bayesian matrix factorization by Gibbs sampling, served as one dot product."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import BayesConfig
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.bayes.chain import Chain
from mfserve_trainer.engines.bayes.posterior import head_of
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.ratings import Ratings

KEPT = 40
"""Samples that the head is made of, spread evenly over the sweeps after burn-in."""


def fit(
    ratings: Ratings, config: BayesConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RatingHead]:
    """Trains the head; see ``engines.fit_rating``. An epoch is a sweep: all users, the noise, all items."""
    mean = float(np.mean(ratings.rating, dtype=np.float64))
    chain = Chain(ratings, mean, config.factors, config.interaction_features, seed)
    total = config.burn_in + config.samples
    kept = set(config.burn_in + np.linspace(0, config.samples - 1, KEPT).round().astype(int))
    samples = []
    with TrainingLog("rating", total, report, log_dir) as log:
        for number in range(total):
            sample = chain.sweep()
            if number in kept:
                samples.append(sample)
            noise = float(np.sqrt(np.mean(sample.user_noise)))
            log.epoch({"mse": sample.mse, "noise_stddev": noise})
    head = head_of(samples, mean, config.served_factors)
    require_finite("bayes", head.user_factors, head.user_biases, head.item_factors, head.item_biases)
    return Fitted(head, log.artifacts())
