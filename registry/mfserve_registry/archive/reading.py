"""Reads an archive: each byte is the one that the writer would have written, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from mfserve_registry.archive.copying import Report, copy
from mfserve_registry.archive.document import (
    CHECKSUM_NAME,
    MAX_BYTES,
    NAME,
    Document,
    Member,
    checksum,
    parse,
)
from mfserve_registry.archive.tar import BLOCK, END, header, padding, size_in
from mfserve_registry.errors import DamagedArchive


def read_document(file: BinaryIO) -> Document:
    """What the archive says of itself, from its beginning.

    Raises:
        DamagedArchive: it is no archive, is damaged, or (ARCHIVE_TOO_NEW) has a later format.
    """
    first = file.read(BLOCK)
    size = size_in(first)
    if size is None or first != header(NAME, size) or size > MAX_BYTES:
        raise DamagedArchive("It is no archive of mfserve: it does not begin with version.json.")
    data = _read(file, size, NAME)
    document = parse(data)
    _expect(file, padding(size), NAME)
    expected = checksum(data)
    _expect(file, header(CHECKSUM_NAME, len(expected)), CHECKSUM_NAME)
    if _read(file, len(expected), CHECKSUM_NAME) != expected:
        raise DamagedArchive(f"{NAME} is damaged: its SHA-256 is not that in {CHECKSUM_NAME}.")
    _expect(file, padding(len(expected)), CHECKSUM_NAME)
    return document


def read_members(
    file: BinaryIO,
    document: Document,
    opened: Callable[[Member], AbstractContextManager[BinaryIO]],
    report: Report,
) -> None:
    """Copies every member to where ``opened`` says, up to the end of the archive.

    Raises:
        DamagedArchive: naming the member that is not as it was exported.
    """
    for member in document.members:
        _expect(file, header(member.path, member.bytes), member.path)
        with opened(member) as target:
            try:
                copy(file, target, member, report)
            except EOFError as error:
                raise _cut_short(member.path) from error
            except ValueError as error:
                raise DamagedArchive(
                    f"{member.path} is damaged: its SHA-256 is not that in {NAME}."
                ) from error
        _expect(file, padding(member.bytes), member.path)
    _expect(file, END, "its end")
    if file.read(1):
        raise DamagedArchive("The archive is damaged: something follows its end.")


def _expect(file: BinaryIO, expected: bytes, where: str) -> None:
    if _read(file, len(expected), where) != expected:
        raise DamagedArchive(
            f"The archive is damaged at {where}: the tar around it is not as it was written."
        )


def _read(file: BinaryIO, size: int, where: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _cut_short(where)
    return data


def _cut_short(where: str) -> DamagedArchive:
    return DamagedArchive(f"The archive is cut short: it ends at {where}.")
