"""The error tables of a version."""

from __future__ import annotations

from mfserve.cli._output import table
from mfserve.types import Evaluation, Ranker, RatingPredictor

NOT_MEASURED = "–"
PREDICTORS = {
    RatingPredictor.RATING_HEAD: "rating head, as served",
    RatingPredictor.RATING_HEAD_UNCLIPPED: "rating head, unclipped",
    RatingPredictor.GLOBAL_MEAN: "baseline: mean rating",
}
RANKERS = {
    Ranker.RANKING_HEAD: "ranking head",
    Ranker.RATING_HEAD: "rating head",
    Ranker.POPULARITY: "baseline: most popular",
}


def rating_table(evaluation: Evaluation) -> None:
    """Prints the errors of predicted ratings."""
    table(
        f"Test error of predicted ratings ({evaluation.holdout_ratings:,} held-out ratings)",
        ("predictor", "MSE#", "RMSE#", "MAE#"),
        (
            (PREDICTORS.get(one.predictor, one.predictor.value), one.mse, one.rmse, one.mae)
            for one in evaluation.rating
        ),
    )


def ranking_table(evaluation: Evaluation) -> None:
    """Prints the quality of the ranking."""
    table(
        f"Test quality of recommendations ({evaluation.ranking_users:,} users)",
        ("ranker", "nDCG@10#", "Recall@20#", "coverage@10#"),
        (
            (RANKERS.get(one.ranker, one.ranker.value), one.ndcg_at_10, one.recall_at_20, one.coverage_at_10)
            for one in evaluation.ranking
        ),
    )
