from __future__ import annotations

from mfserve.cli._output import jsonable


def test_a_diverged_loss_is_null_in_json() -> None:
    assert jsonable({"loss": float("nan"), "mse": [float("inf"), 1.0]}) == {"loss": None, "mse": [None, 1.0]}
