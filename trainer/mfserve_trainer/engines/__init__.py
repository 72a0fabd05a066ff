"""The engines: ratings in, trained heads out.

TensorFlow takes seconds to import, so an engine's module is loaded when it is asked to train.
"""

from __future__ import annotations

from pathlib import Path

from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.spec import AlsConfig, BayesConfig, IalsConfig, KerasConfig
from mfserve_trainer.engines.base import Epoch, Fitted, ReportEpoch
from mfserve_trainer.ratings import Ratings

__all__ = ["Epoch", "Fitted", "ReportEpoch", "fit_ranking", "fit_rating"]


def fit_rating(
    ratings: Ratings,
    config: BayesConfig | AlsConfig | KerasConfig,
    *,
    seed: int,
    report: ReportEpoch,
    log_dir: Path | None = None,
) -> Fitted[RatingHead]:
    """Trains the head that predicts ratings; the same arguments give the same head on the same machine.

    Args:
        ratings: at least one row; every user and item occurs in the rows.
        config: which engine, and its settings.
        seed: 0 to 2³² − 1.
        report: called after every epoch.
        log_dir: where TensorBoard's logs go; None writes none.

    Raises:
        FailedPrecondition: TRAINING_DIVERGED, the parameters did not stay finite.
    """
    if isinstance(config, KerasConfig):
        from mfserve_trainer.engines import keras_network

        return keras_network.fit(ratings, config, seed=seed, report=report, log_dir=log_dir)
    if isinstance(config, BayesConfig):
        from mfserve_trainer.engines import bayes

        return bayes.fit(ratings, config, seed=seed, report=report, log_dir=log_dir)
    from mfserve_trainer.engines import als

    return als.fit(ratings, config, seed=seed, report=report, log_dir=log_dir)


def fit_ranking(
    ratings: Ratings, config: IalsConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None = None
) -> Fitted[RankingHead]:
    """Trains the head that ranks; arguments and errors as for ``fit_rating``."""
    from mfserve_trainer.engines import ials

    return ials.fit(ratings, config, seed=seed, report=report, log_dir=log_dir)
