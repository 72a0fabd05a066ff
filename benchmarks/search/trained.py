"""Trained factors, by engine ``ials``: ``python -m benchmarks.search.trained FOLDER USERS ITEMS RATINGS``.

A process of its own, as TensorFlow is not to be in that which measures. Writes ``items.npy`` and a sample of the users'
factors, ``users.npy``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.speed.mfserve_ials import SCALE
from benchmarks.speed.power_law import power_law
from mfserve_registry.spec import IalsConfig
from mfserve_trainer.engines import fit_ranking
from mfserve_trainer.fit_process import import_tensorflow
from mfserve_trainer.ratings import from_codes

FACTORS = 64
USERS = 1024
"""In the sample."""


def main() -> None:
    folder, shape = Path(sys.argv[1]), [int(number) for number in sys.argv[2:5]]
    user, item = power_law(shape[0], shape[1], shape[2], seed=0)
    item = np.unique(item, return_inverse=True)[1].astype(np.int32)  # codes without holes
    user_ids, item_ids = ([f"{code:07}" for code in range(int(side.max()) + 1)] for side in (user, item))
    ratings = from_codes(
        users=(user, user_ids),
        items=(item, item_ids),
        rating=np.ones(len(user), dtype=np.float32),
        scale=SCALE,
        name="power-law",
    )
    import_tensorflow()
    head = fit_ranking(ratings, IalsConfig(factors=FACTORS), seed=0, report=lambda epoch: None).head
    sample = np.random.default_rng(1).permutation(len(user_ids))[:USERS]
    # As a snapshot numbers them: pruning ends where no further item is long enough.
    longest_first = np.argsort(-np.linalg.norm(head.item_factors, axis=1), kind="stable")
    np.save(folder / "items.npy", head.item_factors[longest_first])
    np.save(folder / "users.npy", head.user_factors[sample])


if __name__ == "__main__":
    main()
