"""The search on functions whose best point is known, without any engine."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from mfserve_registry.errors import FailedPrecondition
from mfserve_trainer.tuning import journal
from mfserve_trainer.tuning.journal import finished_trials
from mfserve_trainer.tuning.search import UNPRUNED_TRIALS, Search
from mfserve_trainer.tuning.spaces import Distribution

SPACE: dict[str, Distribution] = {
    "x": FloatDistribution(0.01, 100.0, log=True),
    "k": IntDistribution(1, 64, log=True),
}


def searching(
    trials: int = 12,
    *,
    seed: int = 0,
    seconds: float | None = None,
    direction: Literal["minimize", "maximize"] = "minimize",
) -> Search:
    return Search({"x": 50.0, "k": 2}, SPACE, direction, seed, trials, seconds)


def bowl(trial: Trial) -> float:
    """Lowest at x = 1, k = 8, where it is 0."""
    return math.log(trial.params["x"]) ** 2 + math.log(trial.params["k"] / 8) ** 2


def in_memory() -> optuna.Study:
    return optuna.create_study(direction="minimize")


def ignore(finished: int, best: float | None) -> None:
    """A report that nobody reads."""


def told(trials: list[FrozenTrial]) -> list[Any]:
    """Everything of a trial but its times."""
    return [(one.number, one.state, one.params, one.value, one.intermediate_values) for one in trials]


def test_the_given_parameters_are_tried_first_and_the_best_are_found() -> None:
    reported: list[tuple[int, float | None]] = []
    trials, best = searching(40).run(bowl, in_memory(), lambda *step: reported.append(step))
    assert trials[0].params == {"x": 50.0, "k": 2}
    assert best is not None
    assert best.value == min(trial.value for trial in trials if trial.value is not None)
    assert best.value < 0.3
    assert trials[0].value == pytest.approx(math.log(50) ** 2 + math.log(4) ** 2)
    assert [finished for finished, _ in reported] == list(range(1, 41))
    assert reported[-1][1] == best.value
    values = [value for _, value in reported if value is not None]
    assert values == sorted(values, reverse=True)


def test_the_largest_value_is_the_best_where_it_is_to_be_maximised() -> None:
    trials, best = searching(15, direction="maximize").run(
        lambda trial: -bowl(trial), optuna.create_study(direction="maximize"), ignore
    )
    assert best is not None
    assert best.value == max(trial.value for trial in trials if trial.value is not None)


def test_a_search_depends_on_its_seed_alone() -> None:
    first, _ = searching(seed=3).run(bowl, in_memory(), ignore)
    again, _ = searching(seed=3).run(bowl, in_memory(), ignore)
    other, _ = searching(seed=4).run(bowl, in_memory(), ignore)
    assert told(first) == told(again)
    assert told(first)[1:] != told(other)[1:]


@pytest.mark.parametrize("broken_off_after", [1, 5, 11])
def test_a_search_that_goes_on_comes_to_the_same_trials(tmp_path: Path, broken_off_after: int) -> None:
    """With pruned and failed trials among them, and more trials than were asked for at first."""

    def objective(trial: Trial) -> float:
        value = bowl(trial)
        if trial.params["k"] > 40:
            raise diverged()
        trial.report(value + 1, 4)
        if trial.should_prune():
            raise optuna.TrialPruned
        return value

    whole, best = searching(25).run(objective, in_memory(), ignore)
    assert {trial.state for trial in whole} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    with finished_trials(tmp_path / "a.jsonl", "minimize") as kept:
        searching(broken_off_after).run(objective, kept, ignore)
    asked: list[int] = []

    def counted(trial: Trial) -> float:
        asked.append(trial.number)
        return objective(trial)

    with finished_trials(tmp_path / "a.jsonl", "minimize") as kept:
        trials, best_again = searching(25).run(counted, kept, ignore)
    assert asked == list(range(broken_off_after, 25))
    assert told(trials) == told(whole)
    assert best is not None
    assert best_again is not None
    assert best_again.number == best.number

    # Fewer trials than are kept: the first ones.
    with finished_trials(tmp_path / "a.jsonl", "minimize") as kept:
        fewer, _ = searching(4).run(counted, kept, ignore)
    assert told(fewer) == told(whole)[:4]
    assert len(asked) == 25 - broken_off_after


def diverged() -> FailedPrecondition:
    return FailedPrecondition("It diverged.", reason="TRAINING_DIVERGED")


def test_a_bad_trial_is_pruned_and_ends_there() -> None:
    looks: list[int] = []

    def objective(trial: Trial) -> float:
        for epoch in (4, 8, 16):
            looks.append(trial.number)
            trial.report(float(trial.number), epoch)  # each trial is worse than all before
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.number)

    trials, best = searching(8).run(objective, in_memory(), ignore)
    assert [trial.state for trial in trials[:UNPRUNED_TRIALS]] == [TrialState.COMPLETE] * UNPRUNED_TRIALS
    assert [trial.state for trial in trials[UNPRUNED_TRIALS:]] == [TrialState.PRUNED] * 4
    assert looks.count(0) == 3
    assert looks.count(7) == 1
    assert best is not None
    assert best.number == 0


def test_trials_that_diverge_are_failed_trials() -> None:
    def objective(trial: Trial) -> float:
        if trial.number % 2:
            raise diverged()
        return bowl(trial)

    trials, best = searching(6).run(objective, in_memory(), ignore)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL] * 3
    assert best is not None

    def always(trial: Trial) -> float:
        raise diverged()

    trials, best = searching(3).run(always, in_memory(), ignore)
    assert len(trials) == 3
    assert best is None


def test_other_errors_end_the_search() -> None:
    def objective(trial: Trial) -> float:
        raise FailedPrecondition("Something else.", reason="HEAD_MISSING")

    with pytest.raises(FailedPrecondition, match="Something else"):
        searching(3).run(objective, in_memory(), ignore)


def test_no_trial_begins_after_the_time_is_over() -> None:
    """The time is that of the trials themselves, those of before an interruption included."""
    kept = in_memory()
    searching(3).run(bowl, kept, ignore)
    trials, _ = searching(10, seconds=1e-9).run(bowl, kept, ignore)
    assert len(trials) == 1
    trials, _ = searching(10, seconds=3600.0).run(bowl, kept, ignore)
    assert len(trials) == 10


def test_a_line_that_was_being_written_when_the_process_was_killed_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    with finished_trials(path, "minimize") as kept:
        whole, _ = searching(4).run(bowl, kept, ignore)
    last = path.read_bytes().splitlines(keepends=True)[-1]
    for length in (1, len(last) // 2, len(last) - 1):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - len(last) + length])
        with finished_trials(path, "minimize") as kept:
            assert len(kept.trials) == 3
            trials, _ = searching(4).run(bowl, kept, ignore)
        assert told(trials) == told(whole)
    for line in path.read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize("content", [b"no journal\n", b"{}\n", b"[]\n", b'{"op_code": 0}\n\x00\xff\n'])
def test_a_file_that_is_no_journal_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    with finished_trials(path, "minimize") as kept:
        searching(2).run(bowl, kept, ignore)
    with finished_trials(path, "minimize") as kept:
        assert len(kept.trials) == 2


def test_two_at_the_same_search_do_not_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    with finished_trials(path, "minimize") as first:
        one, _ = searching(3).run(bowl, first, ignore)
        with finished_trials(path, "minimize") as second:
            two, _ = searching(3).run(bowl, second, ignore)
    assert told(one) == told(two)
    with finished_trials(path, "minimize") as kept:
        assert told(kept.trials) == told(one)


def test_the_searches_that_were_gone_on_with_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEPT", 3)
    names = ["held", "a", "b", "c", "d"]
    with finished_trials(tmp_path / "held.jsonl", "minimize"):
        for age, name in enumerate(reversed(names)):
            (tmp_path / f"{name}.jsonl").touch()
            os.utime(tmp_path / f"{name}.jsonl", (1000 - age, 1000 - age))
        with finished_trials(tmp_path / "a.jsonl", "minimize"):
            pass
        assert {path.stem for path in tmp_path.iterdir()} == {"held", "a", "c", "d"}
    with finished_trials(tmp_path / "e.jsonl", "minimize"):
        pass
    assert {path.stem for path in tmp_path.iterdir()} == {"a", "d", "e"}


def test_what_cannot_be_opened_among_the_kept_searches_holds_up_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEPT", 1)
    (tmp_path / "folder.jsonl").mkdir()
    os.utime(tmp_path / "folder.jsonl", (0, 0))
    with finished_trials(tmp_path / "a.jsonl", "minimize") as kept:
        assert kept.trials == []
    assert {path.stem for path in tmp_path.iterdir()} == {"folder", "a"}


def test_a_file_system_without_locks_costs_the_kept_trials_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "unlocked.jsonl"
    with finished_trials(path, "minimize") as kept:
        trials, _ = searching(3).run(bowl, kept, ignore)
    assert len(trials) == 3
    assert path.read_bytes() == b""
