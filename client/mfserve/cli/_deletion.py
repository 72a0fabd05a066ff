"""``mfserve delete-version | delete-model``: what nobody needs any more."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mfserve.cli import _options as options
from mfserve.cli._output import CommandError, as_json, line, plain
from mfserve.cli._server import Server

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def delete_version(
    model: ModelArgument,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    *,
    yes: Yes = False,
    server: Server,
    json: options.Json = False,
) -> None:
    """Delete a version for good; refused while an alias names it or a server needs it."""
    _confirm(f"Delete version {version} of {model} for good?", yes=yes)
    with server.client() as client:
        client.delete_version(model, version)
    if json:
        as_json({"model": model, "version": version, "deleted": True})
    else:
        line(f"{plain(model)} version {version} deleted")


def delete_model(
    model: ModelArgument,
    *,
    yes: Yes = False,
    server: Server,
    json: options.Json = False,
) -> None:
    """Delete a model with all its versions for good; refused while it has aliases or trainings under way."""
    _confirm(f"Delete {model} with all its versions for good?", yes=yes)
    with server.client() as client:
        client.delete_model(model)
    if json:
        as_json({"model": model, "deleted": True})
    else:
        line(f"{plain(model)} deleted")


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nothing was deleted: there is nobody to ask; --yes deletes without a question")
    # Not by typer, to which Ctrl-C is an answer like any other.
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was deleted")
