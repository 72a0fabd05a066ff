from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mfserve_registry.errors import FailedPrecondition
from mfserve_trainer.engines.base import require_finite
from mfserve_trainer.engines.foldin import CANDIDATES, UNDECIDED, choose_regularization
from tests.trainer.engines.synthetic import random_table, table


def test_the_engines_import_no_tensorflow_until_one_trains() -> None:
    program = (
        "import sys, mfserve_trainer.engines; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_no_numbers_are_refused(value: float) -> None:
    good, bad = np.ones((2, 2), np.float32), np.full(3, value, np.float32)
    require_finite("als", good, good)
    with pytest.raises(FailedPrecondition) as refused:
        require_finite("als", good, bad)
    assert refused.value.reason == "TRAINING_DIVERGED"


def test_the_fold_in_penalty_is_small_for_exact_factors_and_large_for_noise() -> None:
    random = np.random.default_rng(0)
    users, items, k = 50, 40, 3
    item_factors = random.normal(size=(items, k)).astype(np.float32)
    taste = random.normal(size=(users, k))
    shown = np.argwhere(random.random((users, items)) < 0.5).tolist()
    nothing = np.zeros(items, np.float32)

    exact = table([(u, i, float(taste[u] @ item_factors[i])) for u, i in shown])
    assert choose_regularization(exact, item_factors, nothing, 0.0, folds_bias=False) == CANDIDATES[0]
    noise = table([(u, i, float(random.normal())) for u, i in shown])
    assert choose_regularization(noise, item_factors, nothing, 0.0, folds_bias=False) == CANDIDATES[-1]


def test_the_fold_in_penalty_without_a_user_who_rated_twice() -> None:
    lonely = table([(0, 0, 3.0), (1, 1, 4.0)])
    factors, biases = np.ones((2, 3), np.float32), np.zeros(2, np.float32)
    assert choose_regularization(lonely, factors, biases, 0.0, folds_bias=True) == UNDECIDED
    busy = random_table(seed=1, users=5, items=4)
    factors, biases = np.ones((4, 3), np.float32), np.zeros(4, np.float32)
    assert choose_regularization(busy, factors, biases, 3.0, folds_bias=True) in CANDIDATES
