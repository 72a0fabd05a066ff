"""The article's three rows, through a real service: ``python -m benchmarks.article`` (a few minutes on 2 cores).

The Keras dot-product network without biases or regularization, k = 5, 10 and 20, 100 epochs, on a random 80 % of
MovieLens 100K; its test error is measured on the other 20 %, unclipped. Then, for every user, what ``Recommend``
answers with ``ranking_head=rating`` and ``include_seen`` is compared with the article's own procedure: predict every
item by the dot product of the embeddings and take the best ten by ``numpy.argpartition``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.service import running
from mfserve import Client, Keras, NoRanking, RandomSplit
from mfserve.types import Embeddings, RatingPredictor

PUBLISHED = {5: 0.9430, 10: 1.1858, 20: 1.6322}
"""k: test MSE in the article."""
TOP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the training")
    arguments = parser.parse_args()
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="mfserve-article-") as home,
        running(Path(home)) as address,
        Client(address) as client,
    ):
        for factors, published in PUBLISHED.items():
            row = reproduce(client, factors, arguments.epochs, arguments.seed) | {"published_mse": published}
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(table(rows))
    if arguments.epochs == 100 and any(abs(row["mse"] / row["published_mse"] - 1) > 0.10 for row in rows):
        raise SystemExit("a row is off by more than 10 %")
    if any(row["users_equal"] != row["users"] for row in rows):
        raise SystemExit("a recommendation differs from the article's procedure")


def reproduce(client: Client, factors: int, epochs: int, seed: int) -> dict[str, float]:
    """Trains one row and compares its recommendations for every user."""
    began = time.perf_counter()
    version = client.train(
        f"article-{factors}",
        dataset="movielens-100k",
        rating=Keras(factors=factors, epochs=epochs),
        ranking=NoRanking(),
        split=RandomSplit(fraction=0.2, seed=seed),
        refit=False,
        seed=seed,
    ).result()
    seconds = time.perf_counter() - began
    evaluation = version.evaluation
    if evaluation is None:
        raise SystemExit("nothing was held out")
    errors = {one.predictor: one for one in evaluation.rating}
    users = client.get_embeddings(version.model, "user", head="rating")
    items = client.get_embeddings(version.model, "item", head="rating")
    rows = client.stream_recommend(
        version.model, users.ids, limit=TOP, ranking_head="rating", include_seen=True, version=version.version
    )
    served = [[item.item_id for item in row] for row in rows]
    article = [by_argpartition(factors, items) for factors in np.asarray(users.values)]
    equal = sum(ours == theirs for ours, theirs in zip(served, article, strict=True))
    return {
        "k": factors,
        "epochs": epochs,
        "mse": errors[RatingPredictor.RATING_HEAD_UNCLIPPED].mse,
        "mse_clipped": errors[RatingPredictor.RATING_HEAD].mse,
        "seconds": seconds,
        "users": len(users.ids),
        "users_equal": equal,
    }


def by_argpartition(user: NDArray[np.float32], items: Embeddings) -> list[str]:
    """The article's ``recommend``: the ids of the items with the highest products, best first."""
    predicted = np.asarray(items.values) @ user
    best = np.argpartition(predicted, -TOP)[-TOP:]
    return [items.ids[number] for number in best[np.argsort(-predicted[best])]]


def table(rows: list[dict[str, float]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| k | article's test MSE | ours, unclipped | difference | ours, clipped | took | equal users |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['k']} | {row['published_mse']:.3f} | {row['mse']:.3f} | {row['mse'] / row['published_mse'] - 1:+.1%} "
        f"| {row['mse_clipped']:.3f} | {row['seconds']:.0f} s | {row['users_equal']} of {row['users']} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
