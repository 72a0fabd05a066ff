"""What every engine promises, whatever it trains; each engine's test class inherits this one."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_trainer.engines import Epoch, Fitted, ReportEpoch
from mfserve_trainer.ratings import Ratings
from tests.trainer.engines.synthetic import HeldOut, random_table, table

HeadT = TypeVar("HeadT", RatingHead, RankingHead)

DEGENERATE = {
    "one rating": [(0, 0, 4.0)],
    "one user": [(0, item, float(1 + item % 5)) for item in range(7)],
    "one item": [(user, 0, float(1 + user % 5)) for user in range(7)],
    "all ratings equal": [(user, item, 3.0) for user in range(5) for item in range(4)],
    "all ratings lowest": [(user, item, 1.0) for user in range(5) for item in range(4)],
    "one long history": [(0, item, float(1 + item % 5)) for item in range(300)] + [(1, 0, 2.0)],
}


def ignore(epoch: Epoch) -> None:
    """A report that nobody reads."""


def arrays_of(head: RatingHead | RankingHead) -> Mapping[str, NDArray[np.float32]]:
    """The head's arrays by name."""
    names = ["user_factors", "item_factors"]
    if isinstance(head, RatingHead):
        names += ["user_biases", "item_biases"]
    arrays = {name: getattr(head, name) for name in names}
    if isinstance(head, RatingHead) and head.posterior is not None:
        arrays |= {field.name: getattr(head.posterior, field.name) for field in fields(head.posterior)}
    return arrays


class EngineContract(ABC, Generic[HeadT]):
    """Inherit it in a class whose name begins with Test."""

    factors: int
    epochs: int
    worst_error: float

    @abstractmethod
    def fit(
        self, ratings: Ratings, *, seed: int = 0, report: ReportEpoch = ignore, log_dir: Path | None = None
    ) -> Fitted[HeadT]:
        """Trains ``factors`` factors for ``epochs`` epochs."""

    @abstractmethod
    def example(self) -> tuple[Ratings, HeldOut]:
        """What the engine can learn, and what it shall then know."""

    @abstractmethod
    def error(self, head: HeadT, held_out: HeldOut) -> float:
        """How wrong it is there; at most ``worst_error`` passes."""

    def check_form(self, ratings: Ratings, head: HeadT) -> None:
        users, items = len(ratings.user_ids), len(ratings.item_ids)
        factors = head.item_factors.shape[1]
        assert 1 <= factors <= self.factors
        shapes = {
            "user_factors": (users, factors),
            "item_factors": (items, factors),
            "user_biases": (users,),
            "item_biases": (items,),
        }
        for name, array in arrays_of(head).items():
            assert array.shape == shapes.get(name, array.shape), name
            assert array.dtype == np.float32, name
            assert array.flags.c_contiguous, name
            assert np.isfinite(array).all(), name
        self.check_fold_in(head)

    def check_fold_in(self, head: HeadT) -> None:
        """The fold-in has a penalty."""
        assert np.isfinite(head.regularization)
        assert head.regularization > 0

    def test_form_of_the_head(self) -> None:
        ratings = random_table(seed=1)
        head = self.fit(ratings).head
        self.check_form(ratings, head)
        assert head.item_factors.shape[1] == self.factors

    @pytest.mark.parametrize("cells", DEGENERATE.values(), ids=DEGENERATE.keys())
    def test_degenerate_data_trains(self, cells: list[tuple[int, int, float]]) -> None:
        ratings = table(cells)
        self.check_form(ratings, self.fit(ratings).head)

    def test_the_same_seed_gives_the_same_bits_whatever_was_trained_before(self) -> None:
        ratings = random_table(seed=2)
        first = arrays_of(self.fit(ratings, seed=7).head)
        other = arrays_of(self.fit(ratings, seed=8).head)
        again = arrays_of(self.fit(ratings, seed=7).head)
        for name, array in first.items():
            np.testing.assert_array_equal(array, again[name], err_msg=name)
        assert not np.array_equal(first["item_factors"], other["item_factors"])

    def test_every_epoch_is_reported(self) -> None:
        reported: list[Epoch] = []
        self.fit(random_table(seed=3), report=reported.append)
        assert [epoch.number for epoch in reported] == list(range(1, self.epochs + 1))
        assert {epoch.total for epoch in reported} == {self.epochs}
        for epoch in reported:
            assert {"loss", "mse"} <= epoch.metrics.keys()
            assert all(type(value) is float and np.isfinite(value) for value in epoch.metrics.values())

    def test_the_head_can_be_had_in_mid_training(self) -> None:
        """As it is then: the last epoch's is the one that the training ends with."""
        heads: list[RatingHead | RankingHead] = []

        def look(epoch: Epoch) -> None:
            # Some engines have none in the first epochs. The first one and the last are looked at.
            if epoch.head is not None and (not heads or epoch.number == epoch.total):
                heads.append(epoch.head())

        ratings = random_table(seed=3)
        fitted = self.fit(ratings, report=look)
        self.check_form(ratings, heads[0])  # type: ignore[arg-type]  # of the engine's own kind
        for name, array in arrays_of(fitted.head).items():
            np.testing.assert_array_equal(array, arrays_of(heads[-1])[name], err_msg=name)
        assert not np.array_equal(heads[0].item_factors, heads[-1].item_factors)

    def test_what_report_raises_ends_the_training(self) -> None:
        class Stop(Exception):
            pass

        def stop(epoch: Epoch) -> None:
            raise Stop

        with pytest.raises(Stop):
            self.fit(random_table(seed=3), report=stop)

    def test_learns_what_was_not_shown(self) -> None:
        ratings, held_out = self.example()
        assert self.error(self.fit(ratings).head, held_out) <= self.worst_error

    def test_keeps_the_training_curve(self) -> None:
        reported: list[Epoch] = []
        fitted = self.fit(random_table(seed=3), report=reported.append)
        artifacts = {artifact.name: artifact for artifact in fitted.artifacts}
        assert len(artifacts) == len(fitted.artifacts)
        assert all(artifact.data for artifact in fitted.artifacts)
        (written,) = (
            artifact for name, artifact in artifacts.items() if name.endswith("-training-curve.csv")
        )
        rows = list(csv.DictReader(io.StringIO(written.data.decode())))
        assert [int(row["epoch"]) for row in rows] == [epoch.number for epoch in reported]
        assert [float(row["loss"]) for row in rows] == [epoch.metrics["loss"] for epoch in reported]

    # Keras reads its own learning rate in a way that NumPy 2 warns about.
    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    def test_tensorboard_logs_only_where_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here, logs = tmp_path / "here", tmp_path / "logs"
        here.mkdir()
        monkeypatch.chdir(here)
        ratings = random_table(seed=3)
        self.fit(ratings)
        self.fit(ratings, log_dir=logs)
        assert not list(here.iterdir())
        assert [path for path in logs.rglob("events.out.tfevents.*") if path.stat().st_size > 100]
