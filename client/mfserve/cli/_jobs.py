"""``mfserve jobs``: trainings, past and present."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from mfserve import TrainingJob
from mfserve.cli import _options as options
from mfserve.cli._fields import as_typed
from mfserve.cli._following import wait_for
from mfserve.cli._output import UsageError, as_json, line, plain, table, when
from mfserve.cli._progress import describe, stage
from mfserve.cli._promotion import show_promotion
from mfserve.cli._server import Server
from mfserve.types import JobState


def jobs(
    job: Annotated[str | None, typer.Argument(help="Id of a job: show it.")] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the job.")] = False,
    model: Annotated[str | None, typer.Option(help="List only jobs of this model.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="List only jobs in this state, such as running; repeat.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="List at most so many.", show_default="20")
    ] = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """List trainings, the newest first; show, follow or cancel one."""
    if wait and cancel:
        raise UsageError("give --wait or --cancel, not both")
    if job is None and (wait or cancel):
        raise UsageError("--wait and --cancel need the id of a job: mfserve jobs JOB")
    if job is not None and (model is not None or state or limit is not None):
        raise UsageError(
            "--model, --state and --limit choose what is listed: leave out the job, or leave out those"
        )
    states = [_state(text) for text in state or ()]
    with server.client() as client:
        if job is None:
            found = list(islice(client.list_jobs(model=model, states=states), limit or 20))
            _list(found, json=json)
            return
        handle = client.cancel_job(job) if cancel else client.get_job(job)
        if wait:
            wait_for(client, handle, json=json)
        elif json:
            as_json(handle.info)
        else:
            _show(handle)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        names = ", ".join(one.value.lower() for one in JobState if one is not JobState.UNKNOWN)
        raise UsageError(f"--state {text}: expected one of {names}") from None


def _list(found: list[TrainingJob], *, json: bool) -> None:
    if json:
        as_json([one.info for one in found])
        return
    table(
        "Training jobs",
        ("job!", "model", "state", "version#", "queued"),
        (
            (
                one.job_id,
                one.model,
                _now(one),
                one.version,
                when(one.info.create_time),
            )
            for one in found
        ),
    )


def _now(job: TrainingJob) -> str:
    if job.state is not JobState.RUNNING or job.info.progress is None:
        return job.state.value
    attempt = f", attempt {job.info.attempt}" if job.info.attempt > 1 else ""
    return f"{job.state.value}: {stage(job.info.progress)}{attempt}"


def _show(job: TrainingJob) -> None:
    info = job.info
    line(f"[bold]job {plain(info.job_id)}[/], model {plain(info.model)}: {info.state.value}")
    line(f"attempt {info.attempt} of {info.max_attempts}, queued {when(info.create_time)}")
    if info.cancel_requested and not info.state.final:
        line("asked to end")
    if info.progress is not None and not info.state.final:
        line(plain(f"{stage(info.progress)}: {describe(info.progress).strip()}"))
    if info.version is not None:
        line(f"published version {info.version}: mfserve versions {plain(info.model)} {info.version}")
    if info.promotion is not None:
        show_promotion(info.promotion)
    if info.error is not None:
        line(f"[red]{plain(info.error.reason)}[/]: {plain(as_typed(info.error.message))}")
