from __future__ import annotations

import math

import numpy as np
import pytest

from mfserve_registry.spec import RatingScale


@pytest.mark.parametrize("rating", [0.1, 4.9, float(np.float32(0.1)), float(np.float32(4.9)), 2.5])
def test_a_rating_on_the_scale_is_held_also_as_float32(rating: float) -> None:
    assert RatingScale(minimum=0.1, maximum=4.9).holds(rating)


@pytest.mark.parametrize("rating", [0.0999, 4.9001, -1e300, 1e300, math.inf, math.nan])
def test_a_rating_off_the_scale_is_not(rating: float) -> None:
    assert not RatingScale(minimum=0.1, maximum=4.9).holds(rating)
