"""The steps of a training and the time that is left, by a clock that only the test moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry.jobs import Progress
from mfserve_trainer.engines import Epoch
from mfserve_trainer.messages import Step, parse_answer
from mfserve_trainer.progress import ProgressMeter, Stage, Work


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_stages_are_those_of_the_api() -> None:
    names = {name.removeprefix("TRAINING_STAGE_") for name in pb.TrainingStage.keys()}  # noqa: SIM118 - no mapping
    assert set(Stage) == names - {"UNSPECIFIED"}


def test_remaining_time_comes_from_the_measured_epochs() -> None:
    steps: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter(steps.append, clock)
    meter.begin(Stage.LOADING)
    meter.plan([Work(Stage.RATING_FIT, 5, 1000), Work(Stage.RATING_REFIT, 5, 2000)])
    meter.begin(Stage.RATING_FIT, 5)
    assert [step.remaining_seconds for step in steps] == [None, None]
    # The first epoch builds the computation: once there are others it no longer counts.
    for number, seconds in enumerate([10.0, 1.0, 1.0, 1.0, 1.0], 1):
        clock.now += seconds
        meter.epoch(Stage.RATING_FIT, Epoch(number, 5, {"loss": 1.0}))
    meter.begin(Stage.RATING_REFIT, 5)
    left = [step.remaining_seconds for step in steps[2:]]
    assert left == pytest.approx([40 + 100, 3 + 10, 2 + 10, 1 + 10, 10, 10])


def test_remaining_time_of_a_stage_that_was_not_measured_yet_is_counted_too() -> None:
    steps: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter(steps.append, clock)
    meter.plan([Work(Stage.RATING_FIT, 2, 1000), Work(Stage.RANKING_FIT, 10, 1000)])
    meter.begin(Stage.RATING_FIT, 2)
    clock.now += 3
    meter.epoch(Stage.RATING_FIT, Epoch(1, 2, {}))
    first = steps[-1].remaining_seconds
    assert first is not None
    assert 3 < first < 4
    clock.now += 3
    meter.epoch(Stage.RATING_FIT, Epoch(2, 2, {}))
    meter.begin(Stage.RANKING_FIT, 10)
    clock.now += 2
    meter.epoch(Stage.RANKING_FIT, Epoch(1, 10, {}))
    assert steps[-1].remaining_seconds == pytest.approx(9 * 2)


def test_a_fit_that_stops_early_is_over_when_the_next_stage_begins() -> None:
    steps: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter(steps.append, clock)
    meter.plan([Work(Stage.RATING_FIT, 1000, 10), Work(Stage.PUBLISHING, 1, 10)])
    meter.begin(Stage.RATING_FIT, 1000)
    clock.now += 1
    meter.epoch(Stage.RATING_FIT, Epoch(1, 1000, {}))
    meter.begin(Stage.PUBLISHING)
    assert steps[-1].remaining_seconds == pytest.approx(0, abs=0.01)


@given(
    metrics=st.dictionaries(st.text(max_size=8), st.floats()),
    remaining=st.none() | st.floats(0, allow_infinity=False),
    stage=st.sampled_from(Stage),
)
def test_a_step_arrives_as_it_was_sent(
    metrics: dict[str, float], remaining: float | None, stage: Stage
) -> None:
    step = Step.of(Progress(stage, 3, 7, metrics, remaining))
    received = parse_answer(step.line())
    assert isinstance(received, Step)
    assert received.progress().stage == stage
    assert received.remaining_seconds == remaining
    assert received.metrics.keys() == metrics.keys()
    for name, value in metrics.items():
        assert received.metrics[name] == value or math.isnan(received.metrics[name]) == math.isnan(value)
