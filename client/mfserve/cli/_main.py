"""Puts the commands together and turns what can go wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from mfserve.cli._output import CommandError, UsageError, plain, prepare, say
from mfserve.cli._plugins import PluginGroup
from mfserve.errors import InvalidArgumentError, MfserveError, StatusError

_INTERRUPTED = 130  # what a shell reports after Ctrl-C

app = typer.Typer(
    name="mfserve",
    cls=PluginGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, serve and ask matrix factorization recommenders.",
    epilog="Exit codes: 0 done, 1 refused or failed (one line says why), 2 what was asked is wrong in itself, 3 "
    "trained and not promoted, 130 interrupted, 141 nobody reads on.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from mfserve import __version__

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


def _is_usage(error: MfserveError) -> bool:
    """What a server finds wrong in itself is no different from what typer refuses."""
    return isinstance(error, InvalidArgumentError) or (
        isinstance(error, StatusError)
        and error.reason == "ALIAS_RESERVED"  # no state of any server allows it
    )


def _described(error: Exception) -> str:
    # Imported here: it knows the client, which `mfserve serve` can do without.
    from mfserve.cli._errors import describe

    return describe(error)


def main() -> NoReturn:
    """Runs the command line and exits; see ``mfserve --help`` for the exit codes."""
    prepare()
    try:
        app()
    except CommandError as error:
        say(f"[bold red]error:[/] {_described(error)}")
        sys.exit(error.exit_code)
    except MfserveError as error:
        say(f"[bold red]error:[/] {_described(error)}")
        sys.exit((UsageError if _is_usage(error) else CommandError).exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except OSError as error:  # the output cannot be written
        say(f"[bold red]error:[/] {plain(error.strerror or error)}")
        os._exit(CommandError.exit_code)  # not by Python's own end, which would write once more
    sys.exit(0)
