"""``mfserve token``: makes somebody a caller of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mfserve_registry.commands import one_line
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.names import check_model
from mfserve_registry.settings import StartError
from mfserve_server.security.access import BadAccessFile, Caller
from mfserve_server.security.issuing import NameTaken, append, entry, new_token
from mfserve_server.security.scopes import Scope

_LONGEST_NAME = 64


def token(
    name: Annotated[str, typer.Argument(help="Name of the caller, for logs and metrics.")],
    *,
    scope: Annotated[list[Scope], typer.Option(help="What the caller may do; repeat for more.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model that the caller may ask for or train; repeat.", show_default="all of them"),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="From when the token is none any more, such as 2027-01-01 or 2027-01-01T12:00; without a time zone, "
            "yours.",
            show_default="never",
        ),
    ] = None,
    calls_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=1e6, help="How often the caller may call.", show_default="as often as it likes"
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--append",
            help="File of callers to add the caller to (`mfserve serve --callers`), made if it is not there. Running "
            "servers read it again.",
            show_default="show what to add to it",
            readable=False,
        ),
    ] = None,
) -> None:
    """Make a caller of a server: print a new token, which is shown this once and kept nowhere.

    The server's file of callers has only its hash.
    """
    with one_line("token"):
        secret, digest = new_token()
        caller = Caller(
            name=_checked(name),
            token_sha256=digest,
            scopes=frozenset(scope),
            models=frozenset(check_model(one, "--model") for one in model) if model else None,
            expires=None if expires is None else _time(expires),
            calls_per_second=calls_per_second,
        )
        if file is None:
            typer.echo(entry(caller), err=True, nl=False)
        else:
            try:
                append(file, caller)
            except (BadAccessFile, NameTaken) as error:
                raise StartError(str(error)) from error
            typer.echo(f"{file} has the caller {name} now. The token, which cannot be shown again:", err=True)
        typer.echo(secret)


def _checked(name: str) -> str:
    if not (name.isprintable() and 0 < len(name) <= _LONGEST_NAME):
        raise InvalidArgument(f"NAME must be 1 to {_LONGEST_NAME} printable characters.")
    return name


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument(f"--expires {text}: expected a time such as 2027-01-01T12:00.") from error
    if time <= datetime.now(UTC):
        raise InvalidArgument(f"--expires {text} is over already.")
    return time
