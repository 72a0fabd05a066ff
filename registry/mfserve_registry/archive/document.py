"""``version.json``, the first file of an archive: which version it is, and what else the archive holds."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mfserve_registry.canonical import canonical_json
from mfserve_registry.errors import DamagedArchive, InvalidArgument
from mfserve_registry.gates import GateReport
from mfserve_registry.names import check_artifact
from mfserve_registry.snapshot import manifest
from mfserve_registry.snapshot.manifest import Sha256

FORMAT: Literal[1] = 1
"""Number of the format of archives that this module reads and writes."""

NAME = "version.json"
CHECKSUM_NAME = f"{NAME}.sha256"
SNAPSHOT, ARTIFACTS = "snapshot", "artifacts"
MANIFEST = f"{SNAPSHOT}/{manifest.FILE_NAME}"

MAX_BYTES = 64 << 20
"""Longest document: it is read as a whole."""
MAX_ARTIFACT_BYTES = 1 << 30
"""All artifacts of a version together: they are held in memory, as by the training that made them."""

_ARRAY = re.compile(r"[a-z0-9_]{1,64}\.npy")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _absent(value: object) -> bool:
    return value is None


class Member(_Part):
    """A file of the archive after the document."""

    path: str
    """``snapshot/manifest.json``, ``snapshot/<array>.npy`` or ``artifacts/<name>``."""
    bytes: int = Field(ge=0)
    sha256: Sha256
    media_type: str | None = Field(None, exclude_if=_absent)
    """Of an artifact; a file of the snapshot has none."""

    @property
    def folder(self) -> str:
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        return self.path.partition("/")[2]

    @model_validator(mode="after")
    def _may_be_there(self) -> Member:
        if self.folder == ARTIFACTS:
            _check_artifact(self)
        elif self.path != MANIFEST and not (self.folder == SNAPSHOT and _ARRAY.fullmatch(self.name)):
            raise ValueError("no file that an archive may hold")
        elif self.media_type is not None:
            raise ValueError("no artifact, and has a media type")
        return self


def _check_artifact(member: Member) -> None:
    try:
        check_artifact(member.name, member.media_type or "")
    except InvalidArgument as error:
        raise ValueError(error.message) from error


class Document(_Part):
    """The whole of version.json, format 1."""

    format: Literal[1]
    model: str
    version: Annotated[int, Field(ge=1)]
    """The number that it had in the registry that it comes from."""
    digest: Sha256
    created_at: AwareDatetime
    """When it was published there."""
    metrics: dict[str, JsonValue]
    facts: dict[str, JsonValue]
    gates: GateReport | None = Field(None, exclude_if=_absent)
    """What the promotion gates found there; absent where they did not run."""
    members: tuple[Member, ...]
    """In the order in which they follow."""

    @model_validator(mode="after")
    def _one_snapshot(self) -> Document:
        if len({member.path for member in self.members}) < len(self.members):
            raise ValueError("a file twice")
        if self.digest not in {member.sha256 for member in self.members if member.path == MANIFEST}:
            raise ValueError("no manifest with the digest")
        if sum(member.bytes for member in self.members if member.folder == ARTIFACTS) > MAX_ARTIFACT_BYTES:
            raise ValueError("artifacts too large")
        return self

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.bytes for member in self.members)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(self.model_dump(mode="json")).encode()


def checksum(document: bytes) -> bytes:
    """What stands in ``version.json.sha256``, a line that ``sha256sum --check`` understands."""
    return f"{sha256(document).hexdigest()}  {NAME}\n".encode()


def parse(data: bytes) -> Document:
    """The document with these bytes.

    Raises:
        DamagedArchive: it is none; ARCHIVE_TOO_NEW, of a later format.
    """
    _check_format(data)
    try:
        return Document.model_validate_json(data)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "members"
        raise DamagedArchive(f"{NAME} does not follow format {FORMAT} at '{where}'.") from error


def _check_format(data: bytes) -> None:
    try:
        found = json.loads(data)
        canonical_json(found)  # Python reads NaN, too
    except (ValueError, RecursionError) as error:
        raise DamagedArchive(f"{NAME} is damaged: it is not JSON.") from error
    number = found.get("format") if isinstance(found, dict) else None
    if type(number) is not int or number < 1:  # True would pass for 1
        raise DamagedArchive(f"{NAME} is damaged: it has no format number.")
    if number > FORMAT:
        raise DamagedArchive(
            f"The archive has format {number}; this mfserve reads up to {FORMAT}. Install a newer mfserve.",
            reason="ARCHIVE_TOO_NEW",
        )
