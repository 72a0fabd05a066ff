"""Shows how far something is: a live bar in a terminal; of a training also a line for every epoch, everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from mfserve.types import Progress, TrainingStage

T = TypeVar("T")

_STAGES = {
    TrainingStage.LOADING: "load the ratings",
    TrainingStage.RATING_FIT: "fit the rating head",
    TrainingStage.RANKING_FIT: "fit the ranking head",
    TrainingStage.EVALUATION: "measure on the holdout",
    TrainingStage.RATING_REFIT: "refit the rating head",
    TrainingStage.RANKING_REFIT: "refit the ranking head",
    TrainingStage.INDEXING: "index the items",
    TrainingStage.REPORT: "report",
    TrainingStage.PUBLISHING: "publish",
    TrainingStage.TUNING_RATING: "tune the rating head",
    TrainingStage.TUNING_RANKING: "tune the ranking head",
}


_FEW = 30
"""A stage of so many epochs has a line for each; of more, every tenth."""


def follow(steps: Iterable[Progress]) -> None:
    """Prints every step as it arrives; notes go to standard error, so that standard output keeps the result."""
    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[remaining]}"),
        console=console,
        transient=True,
    )
    with bars if console.is_terminal else nullcontext():  # elsewhere a bar would leave an empty line behind
        bar = bars.add_task("wait for a trainer", total=None, remaining="")
        for step in steps:
            bars.update(
                bar,
                description=stage(step),
                total=step.epoch_count or None,
                completed=step.epoch,
                remaining=_remaining(step),
            )
            # Of 150 epochs nobody reads each line; a bar counts them all.
            if step.epoch_count <= _FEW or step.epoch % 10 == 0 or step.epoch == step.epoch_count:
                console.print(Text(describe(step)), soft_wrap=True)


def describe(step: Progress) -> str:
    """One line for one step."""
    if not step.epoch:
        return stage(step) + (" (begun again)" if step.attempt > 1 else "")
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in step.metrics.items())
    tuning = step.stage in {TrainingStage.TUNING_RATING, TrainingStage.TUNING_RANKING}
    return f"  {'trial' if tuning else 'epoch'} {step.epoch}/{step.epoch_count}  {metrics}".rstrip()


def stage(step: Progress) -> str:
    """What the stage does, in words."""
    return _STAGES.get(step.stage, step.stage.value.lower())


def _remaining(step: Progress) -> str:
    if step.remaining_seconds is None:
        return ""
    minutes, seconds = divmod(round(step.remaining_seconds), 60)
    return f"about {minutes} min {seconds} s left" if minutes else f"about {seconds} s left"


async def passing(what: str, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that takes about so many seconds, with a bar on a terminal meanwhile."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return await work
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
    )
    with bars:
        bar = bars.add_task(what, total=seconds, left="")
        ticking = asyncio.create_task(_tick(bars, bar, seconds))
        try:
            return await work
        finally:
            ticking.cancel()


async def _tick(bars: Bars, bar: TaskID, seconds: float) -> None:
    while True:
        await asyncio.sleep(0.2)
        done = bars.tasks[0].elapsed or 0.0
        bars.update(bar, completed=min(done, seconds), left=f"{max(seconds - done, 0):.0f} s left")
