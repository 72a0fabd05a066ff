"""A holdout fit of random factors, with titles that try to break out of a page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer.assemble import assemble
from mfserve_trainer.evaluation import evaluate
from mfserve_trainer.ratings import Ratings
from mfserve_trainer.report import Holdout
from tests.trainer.engines.synthetic import random_table
from tests.trainer.samples import QUICK, random_heads

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'`$${{ 7*7 }}"
DIGEST = "0123456789abcdef" * 4
JOB = "8f14e45f-ceea-467f-a0e6-1b0f2c9d3e4a"
ORIGIN = {"model": HOSTILE, "job_id": JOB, "digest": DIGEST}


@dataclass(frozen=True)
class Sample:
    """A training part and a holdout with a user and items of its own; one fit, measured and served."""

    ratings: Ratings
    held_out: NDArray[np.intp]
    content: SnapshotContent
    snapshot: Snapshot

    @property
    def holdout(self) -> Holdout:
        return Holdout.sample(self.snapshot, self.ratings.take(self.held_out), seed=0)

    def facts(self) -> dict[str, object]:
        spec = QUICK.model_dump(mode="json")
        return {
            "spec": spec,
            "dataset": {
                "name": HOSTILE,
                "fingerprint": "f",
                "ratings": len(self.ratings),
                "users": len(self.ratings.user_ids),
                "items": len(self.ratings.item_ids),
                "scale": {"minimum": 1.0, "maximum": 5.0},
                "period": [0, 86_400],
                "skipped": {HOSTILE: 1},
            },
            "split": spec["split"],
            "metrics": evaluate(self.snapshot, self.ratings.take(self.held_out)).metrics,
        }


def sample(folder: Path, *, ranking: bool = True) -> Sample:
    ratings = random_table(seed=1, users=30, items=70, share=0.5)
    held_out = np.random.default_rng(1).random(len(ratings)) < 0.4
    held_out |= (ratings.user_index == 4) | (ratings.item_index % 23 == 6)
    training = ratings.take(np.flatnonzero(~held_out))
    titles = [f"{HOSTILE} {item}" for item in training.item_ids]
    rating_head, ranking_head = random_heads(1, len(training.user_ids), len(training.item_ids))
    content = assemble(training, rating_head, ranking_head if ranking else None, facts={})
    content = replace(content, item_titles=titles)
    snapshot = Snapshot.open(folder, write_snapshot(folder, content))
    return Sample(ratings, np.flatnonzero(held_out), content, snapshot)
