"""Puts the commands together and turns what can go wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from mfserve import MfserveError, __version__
from mfserve.cli import _asking, _embeddings, _jobs, _models, _status, _training
from mfserve.cli._output import CommandError, plain, say
from mfserve.cli._plugins import PluginGroup
from mfserve.errors import StatusError

_INTERRUPTED = 130  # what a shell reports after Ctrl-C

app = typer.Typer(
    name="mfserve",
    cls=PluginGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, serve and ask matrix factorization recommenders.",
    epilog="Exit codes: 0 done, 1 refused or failed (one line says why), 2 wrong usage, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mfserve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the release and exit."),
    ] = False,
) -> None:
    pass


for command in (
    _training.train,
    _asking.recommend,
    _asking.predict,
    _asking.similar,
    _models.models,
    _models.versions,
    _models.alias,
    _jobs.jobs,
    _status.status,
    _embeddings.embeddings,
):
    app.command()(command)


def main() -> NoReturn:
    """Runs the command line and exits; see ``mfserve --help`` for the exit codes."""
    try:
        app()
    except (MfserveError, CommandError) as error:
        say(f"[bold red]error:[/] {describe(error)}")
        sys.exit(1)
    except ValueError as error:
        # An argument that no message can carry: a number too large for its field, bytes that are no text.
        say(f"[bold red]error:[/] an argument cannot be sent: {describe(error)}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        say(f"[bold red]error:[/] {plain(error.strerror or error)}")
        os._exit(1)  # not by Python's own end, which would write once more
    sys.exit(0)


def describe(error: Exception) -> str:
    """One line that names the fields that are wrong."""
    message = " ".join(str(error).split())
    violations = error.field_violations if isinstance(error, StatusError) else ()
    unsaid = [violation for violation in violations if violation.field not in message]
    if len(unsaid) == 1 and unsaid[0].description in message:
        return plain(f"{unsaid[0].field}: {message}")
    details = "; ".join(f"{violation.field}: {violation.description}" for violation in unsaid)
    return plain(f"{message} ({details})" if details else message)
