"""The headers that we write, read by Python's own tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.archive.tar import BLOCK, END, header, padding, size_in
from tests.programs import needs

PATHS = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-/", min_size=1, max_size=200).map(
    lambda text: f"a{text.strip('/')}"
)


def read(archive: bytes) -> tarfile.TarInfo:
    """The first member."""
    info = tarfile.open(fileobj=io.BytesIO(archive)).next()  # noqa: SIM115 - nothing is held open
    assert info is not None
    return info


@given(PATHS, st.integers(0, 2**40))
def test_any_tar_reads_name_and_size(path: str, size: int) -> None:
    head = header(path, size)
    assert len(head) % BLOCK == 0
    found = read(head)
    assert (found.name, found.size, found.isreg()) == (path, size, True)
    assert (found.mode, found.mtime, found.uid, found.uname) == (0o644, 0, 0, "")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 8**11 - 1])
def test_the_size_in_a_plain_header(size: int) -> None:
    assert size_in(header("version.json", size)) == size
    assert (size + len(padding(size))) % BLOCK == 0


@pytest.mark.parametrize(
    "block", [b"", bytes(BLOCK), b"\x1f\x8b" + bytes(600), header("a", 8**11)[-BLOCK:-400]]
)
def test_no_size_in_what_is_no_header(block: bytes) -> None:
    assert size_in(block) is None


@needs("tar")
def test_the_system_s_tar_unpacks_it(tmp_path: Path) -> None:
    files = {"short": b"1", f"artifacts/{'n' * 128}": b"two" * 300, "empty": b""}
    archive = b"".join(header(path, len(data)) + data + padding(len(data)) for path, data in files.items())
    (tmp_path / "archive").write_bytes(archive + END)
    finished = subprocess.run(
        ["tar", "xf", "archive"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert finished.stderr == ""
    assert {path: (tmp_path / path).read_bytes() for path in files} == files
