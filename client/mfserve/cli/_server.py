"""The server that a command calls, and the options that name it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from mfserve import AsyncClient, Client, Credentials
from mfserve._client.arguments import ArgumentValueError
from mfserve._client.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from mfserve._client.credentials import VARIABLES, CredentialsError, in_environment
from mfserve.cli._output import UsageError, plain, say
from mfserve.cli._variables import misspelt

OPTIONS = {
    "token": "MFSERVE_TOKEN",  # an option would show in the list of processes
    "token_file": "--token-file",
    "tls": "--tls",
    "roots": "--tls-roots",
    "certificate": "--certificate",
    "key": "--key",
    "plaintext": "--plaintext",
}
"""By the fields of Credentials."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a command calls, how patiently, and as who."""

    address: str
    credentials: Credentials
    names: Mapping[str, str]
    """How the fields of the credentials were given, for what is wrong with them."""
    timeout: float | None = None
    """As typed, if it was."""

    @property
    def patience(self) -> float:
        """Seconds to wait for a call with one answer."""
        return DEFAULT_TIMEOUT if self.timeout is None else self.timeout

    @contextmanager
    def client(self, *, actor: str | None = None) -> Iterator[Client]:
        """A client of it."""
        for line in misspelt(os.environ):
            say(plain(line))
        with _told(self.names):
            client = Client(self.address, credentials=self.credentials, timeout=self.patience, actor=actor)
        try:
            with client:
                yield client
        except ArgumentValueError as error:
            # What no message can carry, such as a number too large for its field.
            raise UsageError(f"an argument cannot be sent: {error}") from error

    def async_client(self) -> AsyncClient:
        """The same for an event loop, where one has been made."""
        return AsyncClient(self.address, credentials=self.credentials, timeout=self.patience)


# A panel of its own has room for the longest name in 80 columns.
_option = partial(typer.Option, rich_help_panel="Server and caller")


def _file(name: str, what: str) -> Any:
    # Whether it can be read is found out where it is read, also for the variable's.
    return _option(
        OPTIONS[name], help=f"{what} Variable: {VARIABLES[name]}", show_default=False, readable=False
    )


def server(
    address: Annotated[
        str, _option("--address", "-a", envvar="MFSERVE_ADDRESS", help="Server to call, HOST:PORT.")
    ] = DEFAULT_ADDRESS,
    timeout: Annotated[
        float | None,
        _option(
            "--timeout",
            min=0.001,
            help="Seconds to wait for one answer.",
            show_default="10; 600 for embeddings",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        _file("token_file", "File with the token to show; the token itself can be in MFSERVE_TOKEN."),
    ] = None,
    tls: Annotated[
        bool,
        _option(
            "--tls",
            help="Speak TLS, which the three files below ask for too. Variable: MFSERVE_TLS",
            show_default=False,
        ),
    ] = False,
    tls_roots: Annotated[
        Path | None, _file("roots", "PEM file of the authorities that vouch for the server.")
    ] = None,
    certificate: Annotated[Path | None, _file("certificate", "PEM file of the certificate to show.")] = None,
    key: Annotated[Path | None, _file("key", "PEM file of its private key.")] = None,
    plaintext: Annotated[
        bool,
        _option(
            "--plaintext",
            help="Show the token to another machine without TLS, too. Variable: MFSERVE_PLAINTEXT",
            show_default=False,
        ),
    ] = False,
) -> Server:
    """The parameters are the options of every command that calls a server."""
    options = {
        "token_file": token_file,
        "tls": tls,
        "roots": tls_roots,
        "certificate": certificate,
        "key": key,
        "plaintext": plaintext,
    }
    given = {name: value for name, value in options.items() if value}
    with _told(VARIABLES):
        found = in_environment(os.environ)
    if token_file is not None:
        found.pop("token", None)
    names = {**OPTIONS, **{name: VARIABLES[name] for name in found.keys() - given.keys()}}
    with _told(names):
        return Server(address, Credentials(**{**found, **given}), names, timeout)


@contextmanager
def _told(names: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except CredentialsError as error:
        raise UsageError(error.told(names)) from error
    except ArgumentValueError as error:
        raise UsageError(f"--{error}") from error  # the options bear the names of the arguments


def calling(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of ``server`` in the place of its parameter of this name.

    typer reads parameters from a function's signature.
    """
    theirs = inspect.signature(server, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        found = server(**{name: given.pop(name) for name in theirs})
        command(**given, server=found)

    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in theirs.values()]
    merged = [part for one in own.values() for part in (keywords if one.name == "server" else [one])]
    run.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]  # see inspect.signature
    return run
