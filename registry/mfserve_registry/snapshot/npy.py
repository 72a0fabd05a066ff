"""The .npy files of a snapshot: NumPy's format 1.0, with the one header that this module writes.

The header is made here, not by numpy, because its padding differs between numpy's releases and the digest must
not. A reader need not parse a header either: it knows the dtype and shape to expect, and compares bytes. So no
header is ever evaluated and no pickle can hide in one.
"""

from __future__ import annotations

import mmap
from hashlib import sha256
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64


def header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The bytes before the data, for a little-endian ``dtype`` such as ``"<f4"``; a multiple of 64 long."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}".encode("ascii")
    padding = -(len(_MAGIC) + 2 + len(text) + 1) % _ALIGNMENT
    text += b" " * padding + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def file_size(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of the whole file."""
    return len(header(dtype, shape)) + np.dtype(dtype).itemsize * prod(shape)


def write(file: BinaryIO, array: NDArray[Any]) -> str:
    """Writes ``array``, whatever its memory layout, in C order; returns the SHA-256 of the file as hex."""
    data = np.ascontiguousarray(array)
    head = header(data.dtype.str, data.shape)
    digest = sha256(head)
    file.write(head)
    if data.size:  # a memoryview cannot cast a shape with a zero in it
        body = data.data.cast("B")
        digest.update(body)
        file.write(body)
    return digest.hexdigest()


def map_read_only(file: BinaryIO, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Maps the array in ``file``; no write through it or through a view of it is possible.

    The file may be closed afterwards; the mapping lives as long as the array.

    Raises:
        ValueError: the file does not hold exactly an array of this dtype and shape; the text says what differs.
    """
    head = header(dtype, shape)
    if file.seek(0, 2) != file_size(dtype, shape):
        raise ValueError(f"it has {file.tell()} bytes instead of {file_size(dtype, shape)}")
    file.seek(0)
    if file.read(len(head)) != head:
        raise ValueError(f"its header is not that of a {dtype} array of shape {shape}")
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapping, dtype=dtype, offset=len(head), count=prod(shape)).reshape(shape)
