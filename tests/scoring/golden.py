"""Golden snapshots: of each format that ever was, files as a release wrote them, and the answers that they gave.

They are made once, when a format is new, and never again: every later release has to open these very files and to give
these very answers. ``python -m tests.scoring.golden`` makes those of the present format; it refuses where they are
there. A part that a format gains later (as the index came to format 1) gets a snapshot of its own in ``contents``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import (
    FORMAT,
    RankingHead,
    RatingHead,
    Snapshot,
    SnapshotContent,
    write_snapshot,
)
from mfserve_registry.snapshot.content import ItemIndex, Posterior
from mfserve_registry.spec import RatingScale
from mfserve_scoring import Head, Recommendations, Recommender
from mfserve_trainer.indexing import build
from tests.registry.snapshot.samples import rated_items, without_ratings

FOLDER = Path(__file__).resolve().parents[1] / "registry" / "snapshot" / "golden"
ANSWERS = "answers.json"
"""Beside the snapshot's own files."""

USERS = ["anna", "jürgen", "москва", "用户 7", "🎬", "no ratings", "u" * 256, *(f"u{n}" for n in range(5))]
ITEMS = ["1", "10", "Amélie", "千と千尋", "ein Film", "é", "e\u0301", "🎞️", *(f"i{n}" for n in range(72))]
TITLES = [
    "Das Boot",
    "",
    "Le Fabuleux Destin d’Amélie Poulain",
    "千と千尋の神隠し",
    *(f"Film {n}" for n in range(76)),
]


def contents() -> dict[str, SnapshotContent]:
    """What is in each; all numbers are small multiples of 1/64, whose sums and products no machine rounds."""
    random = np.random.default_rng(1)

    def floats(*shape: int) -> NDArray[np.float32]:
        return (np.rint(random.normal(scale=0.5, size=shape) * 64) / 64).astype(np.float32)

    users, items = len(USERS), len(ITEMS)
    rows = [[] if user == "no ratings" else sorted(random.choice(items, 5, replace=False)) for user in USERS]
    rated = rated_items(rows)
    item_factors = floats(items, 8)
    ranking = RankingHead(
        user_factors=floats(users, 8),
        item_factors=item_factors,
        regularization=0.5,
        unobserved_weight=0.25,
        frequency_exponent=1.0,
        targets=(0.0, 0.125, 0.5, 1.0),
        index=ItemIndex(build(item_factors, 6), probes=3, recall=0.9375),
    )
    rating = RatingHead(
        intercept=3.25,
        user_biases=floats(users),
        item_biases=floats(items),
        user_factors=floats(users, 6),
        item_factors=floats(items, 6),
        regularization=0.125,
        folds_bias=True,
    )
    root = floats(7, 7)
    posterior = Posterior(
        user_samples=floats(users, 4, 4),
        item_samples=floats(items, 4, 4),
        user_noise=np.abs(floats(users)) + np.float32(0.25),
        prior_mean=floats(7),
        prior_precision=root @ root.T + np.eye(7, dtype=np.float32),
    )
    whole = SnapshotContent(
        user_ids=USERS,
        item_ids=ITEMS,
        item_titles=TITLES,
        scale=RatingScale(minimum=0.5, maximum=5),
        mean_rating=3.25,
        user_means=floats(users) + np.float32(3),
        item_means=floats(items) + np.float32(3),
        item_counts=np.bincount(rated.indices, minlength=items).astype(np.int32),
        rated=rated,
        rating=rating,
        ranking=ranking,
        facts={"spec": {"seed": 7}, "dataset": {"name": "gölden"}, "metrics": [1, 0.1, None, "ü"]},
    )
    exact = replace(ranking, index=None)
    with_posterior = replace(rating, regularization=0.0, posterior=posterior)
    return {
        "both-heads": whole,
        "posterior": replace(whole, item_titles=None, rating=with_posterior, ranking=exact),
        "without-ratings": without_ratings(replace(whole, ranking=exact)),
    }


def questions(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Methods of Recommender and their arguments: every kind of answer that the snapshot can give."""
    heads = ["DEFAULT", "RATING"] if snapshot.rating is not None else ["DEFAULT"]
    history = [["千と千尋", 4.5], ["é", 1.0], ["nobody knows it", 3.0], ["i3", 5.0]]
    for head in heads:
        for user in USERS:
            yield {"method": "recommend", "user_id": user, "limit": 3, "head": head}
        yield {"method": "recommend_history", "history": history, "limit": 5, "head": head}
    yield {"method": "recommend", "user_id": "jürgen", "limit": 3, "exact": True}
    yield {"method": "recommend", "user_id": "jürgen", "limit": 100, "include_seen": True}
    yield {
        "method": "recommend",
        "user_id": "用户 7",
        "limit": 3,
        "exclude_item_ids": ["1", "🎞️", "e\u0301", "none"],
    }
    yield {"method": "recommend", "user_id": "jurgen", "limit": 4}
    for item in ITEMS[:8]:
        yield {"method": "similar_items", "item_id": item, "limit": 4}
    if snapshot.rating is not None:
        for user in ("jürgen", "u" * 256, "nobody"):
            for item in ("é", "e\u0301", "none"):
                yield {"method": "predict", "user_id": user, "item_id": item}


def answer(snapshot: Snapshot, recommender: Recommender, question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as JSON; a float32 number is exact there."""
    arguments = {name: value for name, value in question.items() if name != "method"}
    if "head" in arguments:
        arguments["head"] = Head[arguments["head"]]
    found = getattr(recommender, question["method"])(**arguments)
    if question["method"] == "predict":
        return {"rating": found.rating, "basis": found.basis.name, "deviation": found.deviation}
    items = [snapshot.items[int(item)] for item in found.item_indices]
    if not isinstance(found, Recommendations):
        return {"items": items, "similarities": found.similarities.tolist()}
    predicted = found.predicted_ratings
    return {
        "items": items,
        "scores": found.scores.tolist(),
        "predicted": None if predicted is None else predicted.tolist(),
        "basis": found.basis.name,
        "head": found.head.name,
        "recall": found.recall,
    }


def make() -> None:
    """Writes the golden snapshots of the present format. FileExistsError where they are there."""
    for name, content in contents().items():
        folder = FOLDER / f"format-{FORMAT}" / name
        folder.mkdir(parents=True)
        digest = write_snapshot(folder, content)
        snapshot = Snapshot.open(folder, digest)
        recommender = Recommender(snapshot)
        answers = [
            {"question": question, "answer": answer(snapshot, recommender, question)}
            for question in questions(snapshot)
        ]
        lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in answers)
        (folder / ANSWERS).write_text(f'{{"digest": "{digest}", "answers": [\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    make()
