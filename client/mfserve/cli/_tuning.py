"""``mfserve tune``: search the engines' parameters, then train with the best."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mfserve import Tuning
from mfserve.cli import _options as options
from mfserve.cli._following import queued, wait_for
from mfserve.cli._server import Server
from mfserve.cli._sharing import taking
from mfserve.cli._training import training_arguments

_PANEL = "Tuning"


@taking(training_arguments)
def tune(
    *,
    trials: Annotated[
        int | None,
        typer.Option(help="Configurations tried for each head.", show_default="20", rich_help_panel=_PANEL),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Begin no trial of a head after so many seconds.",
            show_default="no limit",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    head: Annotated[
        options.HeadName | None,
        typer.Option(help="The only head to tune.", show_default="both", rich_help_panel=_PANEL),
    ] = None,
    validation_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the training ratings on which trials are compared.",
            show_default="0.2",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Queue it, and print the job's id.")] = False,
    server: Server,
    json: options.Json = False,
    **arguments: Any,
) -> None:
    """Search the parameters that matter, then train a new version of a model with the best.

    The search starts from the parameters that are given, or from the defaults, and is judged on ratings that are set
    aside from the training ratings, never on the held-out ones. It is followed to its end, and its trials are printed
    before the version. Interrupting it leaves the job running, and `mfserve jobs JOB --wait` goes on following it.
    Asked for once more it is another job, which does not repeat the trials that are finished.
    """
    tuning = Tuning(
        trials=trials,
        seconds=seconds,
        validation_fraction=validation_share,
        head=None if head is None else head.value,
    )
    with server.client() as client:
        job = client.train(**arguments, tuning=tuning)
        if no_wait:
            queued(job, json=json)
        else:
            wait_for(client, job, json=json)
