"""What callers may do: the file that names them, read again while the server runs.

A token is 256 random bits, of which the file has only the SHA-256: nobody gets the token back out of it, nor can try
them all, so that no slower hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mfserve_server.security.files import BadFile
from mfserve_server.security.scopes import Scope

_HASH = r"^[0-9a-f]{64}$"
_MEANT = {
    "token_sha256": "it is 64 hexadecimal digits, as mfserve token writes them, and not the token",
    "scopes": f"they are a list of {', '.join(Scope)}",
    "callers": "each of them is a table of its own, headed [[callers]]",
    "expires": "it is a time with its zone, such as 2030-01-01T00:00:00Z",
}
"""What belongs into a field, where pydantic speaks of patterns."""


class BadAccessFile(BadFile):
    """A file that names no callers."""


class Caller(BaseModel):
    """One caller, as the file has it.

    Attributes:
        name: for logs and metrics.
        token_sha256: SHA-256 of its token, in hexadecimal digits.
        certificate: the common name, or an alternative name, of its certificate.
        scopes: what it may do.
        models: the models for which it may; None: all.
        expires: from when it may nothing any more; None: never.
        calls_per_second: how often it may call, all of the server's processes together; None: as often as it likes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    token_sha256: Annotated[str, Field(pattern=_HASH)] | None = None
    certificate: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    expires: AwareDatetime | None = None
    calls_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if (self.token_sha256 is None) == (self.certificate is None):
            raise ValueError("it has either token_sha256 or certificate")
        return self

    @property
    def is_over(self) -> bool:
        return self.expires is not None and datetime.now(UTC) >= self.expires


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    callers: tuple[Caller, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """The callers of one reading of the file."""

    by_token: Mapping[str, Caller]
    by_certificate: Mapping[str, Caller]
    _shown: dict[int, tuple[bytes, Caller]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, callers: Iterable[Caller]) -> Access:
        callers = list(callers)
        return cls(
            {caller.token_sha256: caller for caller in callers if caller.token_sha256 is not None},
            {caller.certificate: caller for caller in callers if caller.certificate is not None},
        )

    @property
    def names(self) -> frozenset[str]:
        return frozenset(caller.name for caller in (*self.by_token.values(), *self.by_certificate.values()))

    def __len__(self) -> int:
        return len(self.by_token) + len(self.by_certificate)

    def with_token(self, token: bytes) -> Caller | None:
        """The caller whose token it is.

        What is looked up is a hash, which nobody can choose: how long that takes tells nothing of the tokens. The last
        comparison takes the same time for all, nevertheless. Tokens that were right are kept in memory until the file
        is read again, as SHA-256 costs a quick call some hundredths of its time.
        """
        key = hash(token)  # SipHash, by a secret of this process
        shown, caller = self._shown.get(key, (b"", None))
        if caller is not None and hmac.compare_digest(shown, token):
            return caller
        presented = hashlib.sha256(token).hexdigest()
        found = self.by_token.get(presented)
        if (
            found is None
            or found.token_sha256 is None
            or not hmac.compare_digest(found.token_sha256, presented)
        ):
            return None
        self._shown[key] = token, found
        return found


def read_access(path: Path) -> Access:
    """The callers that a TOML file names. BadAccessFile."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadAccessFile(f"The file of callers {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAccessFile(f"{path} is no TOML: {error}.") from error
    try:
        callers = _File.model_validate(data).callers
    except ValidationError as error:
        raise BadAccessFile(f"{path}: {_explained(error, data)}.") from error
    for kind in ("name", "token_sha256", "certificate"):
        values = [value for caller in callers if (value := getattr(caller, kind)) is not None]
        if len(set(values)) < len(values):
            raise BadAccessFile(f"{path}: two callers have the same {kind}.")
    return Access.of(callers)


def _explained(error: ValidationError, data: Mapping[str, Any]) -> str:
    """Where the first mistake is, and what is to be there.

    Without the values: somebody may have written a token where its hash belongs.
    """
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    match first["loc"]:
        case "callers", int(number), *below:
            fields = [part for part in below if isinstance(part, str)]
            place, known = [_called(data["callers"][number], number), *fields], Caller.model_fields
        case whole:
            place, known = [*map(str, whole)], _File.model_fields
    if first["type"] == "extra_forbidden":
        *above, field = place
        return ": ".join([*above, f"{field} is none of {', '.join(known)}"])
    said = first["msg"].removeprefix("Value error, ")
    return ": ".join([*place, _MEANT.get(place[-1], said)])


def _called(entry: object, number: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"caller {name}" if isinstance(name, str) else f"caller number {number + 1}"
