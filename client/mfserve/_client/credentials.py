"""What a client shows a server, and how it knows the server: a token, certificates, and from where they come."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mfserve._client.arguments import ArgumentValueError

VARIABLES: Final = {
    "token": "MFSERVE_TOKEN",
    "token_file": "MFSERVE_TOKEN_FILE",
    "tls": "MFSERVE_TLS",
    "roots": "MFSERVE_TLS_ROOTS",
    "certificate": "MFSERVE_CLIENT_CERTIFICATE",
    "key": "MFSERVE_CLIENT_KEY",
    "plaintext": "MFSERVE_PLAINTEXT",
}
"""By the fields of Credentials."""

ARGUMENTS: Final = {name: name for name in VARIABLES}

_FILES = ("token_file", "roots", "certificate", "key")
_SWITCHES = ("tls", "plaintext")
_SAID = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_TOKEN = re.compile(r"[!-~]+")


class CredentialsError(ArgumentValueError):
    """Credentials that no client can use. Nothing secret is in the message.

    Args:
        template: the message, with the field ``roots`` as ``{roots}``: who gave it may have called it otherwise.
        values: for what else is in braces.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template.format(**ARGUMENTS, **values))
        self._template, self._values = template, values

    def told(self, names: Mapping[str, str]) -> str:
        """The message, with these names for the fields."""
        return self._template.format(**names, **self._values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who calls, and which servers are trusted. Without any of it: plain text, and nobody in particular.

    Files are read when a client is made, and that of the token again later. Who has new certificates makes a new
    client.

    Raises:
        TypeError, ValueError: what is given contradicts itself, or is no token. Nothing secret is in the message.
    """

    token: str | None = field(default=None, repr=False)
    """Sent with every call, as ``authorization: Bearer …``."""
    token_file: str | os.PathLike[str] | None = None
    """A file that holds it instead; read again, within a second, where it has changed."""
    tls: bool | None = None
    """Whether to speak TLS. None: where any of the three files below is given."""
    roots: str | os.PathLike[str] | None = None
    """PEM file of the authorities whose servers are trusted. None: those that gRPC brings along."""
    certificate: str | os.PathLike[str] | None = None
    """PEM file of the client's own certificate, for servers that ask for one (mutual TLS)."""
    key: str | os.PathLike[str] | None = None
    """PEM file of its private key, without a password."""
    plaintext: bool = False
    """Whether a token may go to another machine without TLS, where whoever is on the way can read and use it."""

    def __post_init__(self) -> None:
        for name in _FILES:
            if not isinstance(value := getattr(self, name), str | os.PathLike | None):
                raise TypeError(f"{name} must be a path, not of type {type(value).__name__}")
        for name in _SWITCHES:
            if not isinstance(value := getattr(self, name), bool | None):
                raise TypeError(f"{name} must be True or False, not of type {type(value).__name__}")
        if not isinstance(self.token, str | None):
            raise TypeError(f"token must be a str, not of type {type(self.token).__name__}")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise CredentialsError("{token} is no token: that is one word of ASCII characters")
        if self.token is not None and self.token_file is not None:
            raise CredentialsError("{token} and {token_file} are both given: leave out one")
        if (self.certificate is None) != (self.key is None):
            raise CredentialsError("{certificate} and {key} go together: give both, or neither")
        if self.tls is False and self._is_for_tls:
            raise CredentialsError("{roots}, {certificate} and {key} are for TLS, which {tls} turns off")

    @property
    def _is_for_tls(self) -> bool:
        return self.roots is not None or self.certificate is not None

    @property
    def speaks_tls(self) -> bool:
        """What ``tls`` says or stands for."""
        return self._is_for_tls if self.tls is None else self.tls

    @classmethod
    def from_environment(cls) -> Credentials:
        """What the variables say, and what a client takes that is given no credentials.

        ``MFSERVE_TOKEN``, ``MFSERVE_TOKEN_FILE``, ``MFSERVE_TLS``, ``MFSERVE_TLS_ROOTS``,
        ``MFSERVE_CLIENT_CERTIFICATE``, ``MFSERVE_CLIENT_KEY``, ``MFSERVE_PLAINTEXT``; an empty one counts as none.
        """
        with called(VARIABLES):
            return cls(**in_environment(os.environ))


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """What is wrong is told with these names for the fields of the credentials."""
    try:
        yield
    except CredentialsError as error:
        raise ArgumentValueError(error.told(names)) from error.__cause__


def in_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields that variables give."""
    given: dict[str, Any] = {
        name: value for name, variable in VARIABLES.items() if (value := environment.get(variable))
    }
    for name in given.keys() & set(_SWITCHES):
        said = _SAID.get(given[name].lower())
        if said is None:
            raise CredentialsError(f"{{{name}}} must be true or false, not {{said!r}}", said=given[name])
        given[name] = said
    return given


def token_in(file: Path) -> str:
    """What a token file holds, which may end in a line break."""
    token = contents("token_file", file).decode("latin-1").strip()
    if not _TOKEN.fullmatch(token):
        raise CredentialsError(
            "{token_file} {file} holds no token: that is one word of ASCII characters", file=file
        )
    return token


def contents(name: str, file: Path) -> bytes:
    """The bytes of the file that the field of this name is."""
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = error.strerror if isinstance(error, OSError) else error
        raise CredentialsError(f"{{{name}}} {{file}} cannot be read: {{why}}", file=file, why=why) from error
