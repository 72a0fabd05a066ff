"""Ratings, top-k recommendations, fold-in and similar items from a snapshot; and how good they are."""

from mfserve_scoring.answers import (
    Basis,
    Head,
    Prediction,
    RatingBasis,
    RatingPredictions,
    RecommendationBatch,
    Recommendations,
    SimilarItems,
)
from mfserve_scoring.queries import Question
from mfserve_scoring.recommender import MAX_LIMIT, Recommender
from mfserve_scoring.searches import Progress, Searches

__all__ = [
    "MAX_LIMIT",
    "Basis",
    "Head",
    "Prediction",
    "Progress",
    "Question",
    "RatingBasis",
    "RatingPredictions",
    "RecommendationBatch",
    "Recommendations",
    "Recommender",
    "Searches",
    "SimilarItems",
]
