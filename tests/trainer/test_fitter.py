"""The worker's end of a real fit process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from mfserve_registry.artifacts import Artifact
from mfserve_trainer.fitter import FitProcessDied, Fitter
from mfserve_trainer.messages import Done, Failed, File, FitTask, Step, parse_answer
from mfserve_trainer.progress import Stage
from mfserve_trainer.settings import Settings
from tests.trainer.samples import ENDLESS, QUICK, fit_task


@pytest.fixture
async def fitter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fitter]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    fitter = Fitter(Settings(home=tmp_path / "home"))
    yield fitter
    await fitter.kill()
    assert list(temporary.iterdir()) == []
    assert fit_processes() == []


def fit_processes() -> list[psutil.Process]:
    return [
        child for child in psutil.Process().children() if "mfserve_trainer.fit_process" in child.cmdline()
    ]


def assert_keras_is_not_loaded() -> None:
    """Keras and what comes with it, scikit-learn too, take nearly as long to load as TensorFlow by itself."""
    (process,) = fit_processes()
    loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert "tensorflow" in loaded
    assert "sklearn" not in loaded


async def answers(fitter: Fitter, task: FitTask) -> list[Step | Done | Failed]:
    return [answer async for answer in fitter.perform(task)]


async def until_an_epoch_has_passed(fitter: Fitter, task: FitTask) -> None:
    async with aclosing(fitter.perform(task)) as found:
        async for answer in found:
            if isinstance(answer, Step) and answer.epoch:
                assert_keras_is_not_loaded()
                return


async def test_a_failure_keeps_the_process_and_a_task_that_is_broken_off_answers_nothing_to_the_next(
    tmp_path: Path, csv: Path, fitter: Fitter
) -> None:
    # A failure that has a reason keeps the process.
    missing = fit_task(tmp_path / "a", csv.with_name("missing.csv"), QUICK)
    assert [answer.reason for answer in await answers(fitter, missing) if isinstance(answer, Failed)] == [
        "FILE_NOT_FOUND"
    ]
    (process,) = fit_processes()

    # One that cannot write says so.
    task = fit_task(tmp_path / "b", csv, QUICK)
    task.scratch.rmdir()
    task.scratch.write_text("no folder")
    failed = (await answers(fitter, task))[-1]
    assert isinstance(failed, Failed)
    assert failed.reason == "STORAGE_FAILED"
    assert fit_processes() == [process]

    # One that dies while it has nothing to do is replaced.
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    with suppress(FitProcessDied):
        await answers(fitter, fit_task(tmp_path / "c", csv.with_name("missing.csv"), QUICK))
    await until_an_epoch_has_passed(fitter, fit_task(tmp_path / "d", csv, ENDLESS))
    assert fit_processes() == []

    *steps, done = await answers(fitter, fit_task(tmp_path / "e", csv, QUICK))
    assert isinstance(done, Done)
    assert next(step.stage for step in steps if isinstance(step, Step)) == "LOADING"
    assert len(fit_processes()) == 1


async def test_a_task_that_is_cancelled_while_the_process_starts_leaves_none(
    tmp_path: Path, csv: Path, fitter: Fitter
) -> None:
    descriptors = psutil.Process().num_fds()
    for number in range(6):
        fitting = asyncio.create_task(answers(fitter, fit_task(tmp_path / str(number), csv, ENDLESS)))
        # Each time a little further into the start.
        for _ in range(number):
            await asyncio.sleep(0)
        fitting.cancel()
        with suppress(asyncio.CancelledError):
            await fitting
        assert fit_processes() == []
    assert psutil.Process().num_fds() <= descriptors + 2


async def test_a_process_that_cannot_start_is_named(
    tmp_path: Path, fitter: Fitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    with pytest.raises(FitProcessDied, match="No such file"):
        await fitter.start()


def test_artifacts_survive_the_pipe() -> None:
    artifact = Artifact("model.png", "image/png", bytes(range(256)) * 300)
    line = Done(digest="d", facts={"loss": 0.5}, files=[File.of(artifact)]).line()
    assert line.count(b"\n") == 1
    done = parse_answer(line)
    assert isinstance(done, Done)
    assert done.files[0].artifact() == artifact


def test_a_loss_that_is_no_number_survives_the_pipe() -> None:
    step = parse_answer(
        Step(
            stage=Stage.RATING_FIT, epoch=1, epochs=2, metrics={"loss": float("nan")}, remaining_seconds=None
        ).line()
    )
    assert isinstance(step, Step)
    assert step.metrics["loss"] != step.metrics["loss"]
