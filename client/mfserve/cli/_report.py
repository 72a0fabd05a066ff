"""``mfserve report``: the page of pictures that a training leaves with its version."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mfserve import Client
from mfserve.cli import _options as options
from mfserve.cli._models import ModelArgument
from mfserve.cli._output import STDOUT, CommandError, UsageError, as_json, line, plain, size, write_file
from mfserve.cli._server import Server
from mfserve.errors import NotFoundError
from mfserve.types import StoredArtifact

_NAME = "report.html"


def report(
    model: ModelArgument,
    version: Annotated[
        str | None,
        typer.Argument(
            help="A version number, an alias, or latest.", show_default="that of the alias production"
        ),
    ] = None,
    *,
    open_: Annotated[
        bool, typer.Option("--open", help="Show it in your browser; without --output from a temporary file.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write, over what is there; - for standard output.",
            show_default="MODEL-VERSION-report.html",
            readable=False,
        ),
    ] = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Fetch a version's report: one HTML page with pictures of how good it is and what it recommends."""
    if output == STDOUT and (open_ or json):
        raise UsageError("--output - writes the page alone: leave out --open and --json")
    with server.client() as client:
        number = client.get_version(model, **options.version_or_alias(version)).version
        stored = _fetch(client, model, number)
    if output is None:
        folder = Path(tempfile.mkdtemp(prefix="mfserve-")) if open_ else Path()
        output = folder / f"{model}-{number}-{_NAME}"
    if write_file(output, stored.data) == STDOUT:
        return
    if open_ and not webbrowser.open(output.resolve().as_uri()):
        raise CommandError(f"there is no browser to open {output} with")
    if json:
        as_json({"path": str(output), "model": model, "version": number, "size_bytes": len(stored.data)})
        return
    line(f"report of {plain(model)} version {number} written to {plain(output)} ({size(len(stored.data))})")


def _fetch(client: Client, model: str, version: int) -> StoredArtifact:
    try:
        return client.get_artifact(model, _NAME, version=version)
    except NotFoundError as error:
        if error.reason != "ARTIFACT_NOT_FOUND":
            raise
        raise CommandError(
            f"version {version} of {model} has no report: an older release trained it, or drawing failed "
            "(then the trainer's log says why)"
        ) from error
