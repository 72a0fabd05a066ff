"""A training that was queued: followed to its end, or left to itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from mfserve import Client, TrainingJob
from mfserve.cli._models import show_version
from mfserve.cli._output import NotPromotedError, as_json, line, plain, say
from mfserve.cli._progress import follow
from mfserve.cli._promotion import show_promotion
from mfserve.cli._trials import show_trials, trials
from mfserve.errors import DeadlineExceededError, UnavailableError
from mfserve.types import JobState

PATIENCE_SECONDS = 5.0
"""A trainer that has nothing else to do takes a job within a second."""

_NO_TRAINER = (
    "Still waiting: no trainer has taken the job. One that is busy takes it later; where none runs, start "
    "`mfserve trainer` on the server's home, or `mfserve serve` without --no-trainer."
)


def queued(job: TrainingJob, *, json: bool) -> None:
    """Tells of a job that is not followed."""
    if json:
        as_json(job.info)
    else:
        line(f"queued as job {job.job_id}; follow it with: mfserve jobs {job.job_id} --wait")


def wait_for(client: Client, job: TrainingJob, *, json: bool) -> None:
    """Follows a job to its end and prints its trials, if any, and the version; or raises the job's failure.

    NotPromotedError at last, where the alias that it was to move stays where it is.
    """
    try:
        with _telling_of_no_trainer(job):
            if json:
                for step in job.watch():
                    as_json(step)
            else:
                say(f"job {plain(job.job_id)}")
                follow(job.watch())
    except KeyboardInterrupt:
        say(f"The training goes on: mfserve jobs {plain(job.job_id)} --wait follows it, --cancel ends it.")
        raise
    except (UnavailableError, DeadlineExceededError):  # for longer than is waited for
        say(f"The job is kept: mfserve jobs {plain(job.job_id)} --wait follows it again when that is over.")
        raise
    version = job.result()
    tables = {} if job.info.spec.tuning is None else trials(client, version)
    if json:
        if tables:
            as_json(tables)
        as_json(version)
    else:
        for head, found in tables.items():
            show_trials(head, found)
        show_version(version)
    promotion = job.info.promotion
    if promotion is not None and not promotion.promoted:
        raise NotPromotedError(
            f"{promotion.alias} was not moved to version {version.version}: {promotion.reason}"
        )
    if promotion is not None and not json:
        show_promotion(promotion)


@contextmanager
def _telling_of_no_trainer(job: TrainingJob) -> Iterator[None]:
    """Without a trainer a job waits for ever, and nothing tells of the trainers that there are."""

    def tell() -> None:
        if job.state is JobState.PENDING:
            # By a plain print, which a live bar lets through above itself.
            print(_NO_TRAINER, file=sys.stderr)

    timer = Timer(PATIENCE_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
