"""Who is compared, with which settings."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tables.

    Attributes:
        name: as the tables have it.
        peer: the module in ``benchmarks/peers`` that performs it, and what ``--peers`` selects by.
        setting: what the module is told.
        package: what it is installed by in the environment of its own that ``make peers`` makes; None: it runs in
            mfserve's.
    """

    name: str
    peer: str
    setting: str
    package: str | None


def article(factors: int) -> Line:
    spec = {"rating": {"engine": "keras", "factors": factors, "epochs": 100}, "ranking": {"engine": "none"}}
    return Line(f"the article's network, k = {factors}, 100 epochs", "article", json.dumps(spec), None)


def implicit(factors: int, regularization: float, alpha: float, counts: str) -> Line:
    name = f"implicit ALS, k = {factors}, λ = {regularization:g}, α = {alpha:g}, {counts}"
    return Line(name, "implicit", f"{factors},{regularization},{alpha},{counts}", "implicit")


DEFAULT = Line("mfserve, default training", "mfserve", "{}", None)
BASELINE = Line("mean rating / most popular", "baseline", "", None)

LINES = (
    DEFAULT,
    BASELINE,
    Line("Surprise SVD, defaults", "surprise", "svd", "scikit-surprise"),
    Line("Surprise SVD++, defaults", "surprise", "svdpp", "scikit-surprise"),
    Line("Surprise SVD, k = 20, 100 epochs, λ = 0.1", "surprise", "svd-tuned", "scikit-surprise"),
    Line("myFM, rank 10, 200 iterations", "myfm", "mf", "myfm"),
    Line("myFM, implicit features of users (SVD++)", "myfm", "svdpp", "myfm"),
    Line("myFM, implicit features of users and items", "myfm", "flipped", "myfm"),
    Line("Spark ALS, rank 20, λ = 0.15, 20 iterations", "spark", "", "pyspark"),
    article(10),
    implicit(100, 0.01, 1, "binary"),  # its defaults
    implicit(32, 10, 1, "binary"),
    implicit(32, 20, 2, "binary"),
    implicit(32, 30, 1, "rating"),
    implicit(64, 30, 1, "rating"),
    Line("EASE, λ = 300, binary", "cornac", "300,binary", "cornac"),
    Line("EASE, λ = 300, graded", "cornac", "300,graded", "cornac"),
)

MODULES = {"article": "mfserve"}
"""The article's network is trained by mfserve's engine ``keras``, which is the article's code path."""
