"""The tar of an archive, with the one header for each name and size that this module writes.

Any tar reads it. Our reader parses no header: it knows the name and size to expect, and compares bytes. So there is no
path to follow, no link, no sparse file, and no byte outside the files that could be changed unnoticed. And the headers
are made here, not by ``tarfile``, whose releases have filled unused fields differently.
"""

from __future__ import annotations

import re
import struct

BLOCK = 512
END = bytes(2 * BLOCK)
"""What follows the last member; nothing follows it."""

# POSIX.1-1988 (ustar): name, mode, owner, group, size, time, checksum, kind, link, magic, version, names of owner and
# group, device, prefix of the name.
_USTAR = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 6s 2s 32s 32s 8s 8s 155s 12x")
_LONGEST_NAME = 100
_LARGEST = 8**11 - 1
_FILE, _EXTENSION = b"0", b"x"
_SIZE = slice(124, 136)


def header(path: str, size: int) -> bytes:
    """The blocks before the data of a regular file.

    What the fields of ustar have no room for stands in a file before it, by POSIX.1-2001 (pax).

    Args:
        path: ASCII.
        size: bytes of data.
    """
    records = b""
    if len(path) > _LONGEST_NAME:
        records += _record("path", path)
    if size > _LARGEST:
        records += _record("size", str(size))
    own = _ustar(path, size if size <= _LARGEST else 0, _FILE)
    if not records:
        return own
    return _ustar("pax", len(records), _EXTENSION) + records + padding(len(records)) + own


def padding(size: int) -> bytes:
    """What fills up the last block of so many bytes."""
    return bytes(-size % BLOCK)


def size_in(block: bytes) -> int | None:
    """The size in a header of one block; None where there is none. Compare the block with ``header``'s of that size."""
    digits = re.fullmatch(rb"([0-7]{11})\0", block[_SIZE])
    return None if digits is None else int(digits[1], 8)


def _ustar(path: str, size: int, kind: bytes) -> bytes:
    octal = b"%011o\0"
    fields = [path.encode("ascii")[:_LONGEST_NAME], b"0000644\0", b"0000000\0", b"0000000\0"]
    fields += [octal % size, octal % 0]
    rest = [kind, b"", b"ustar\0", b"00", b"", b"", b"", b"", b""]
    checksum = sum(_USTAR.pack(*fields, b" " * 8, *rest))
    return _USTAR.pack(*fields, b"%06o\0 " % checksum, *rest)


def _record(key: str, value: str) -> bytes:
    """``LENGTH key=value`` and a line feed; the length counts its own digits."""
    rest = f" {key}={value}\n"
    length = len(rest)
    while len(record := f"{length}{rest}") != length:
        length = len(record)
    return record.encode("ascii")
