"""Users come from whatever holds them, lazily, and what is no id is named with its place."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mfserve._client.user_ids import AsyncUserIds, UserIds
from tests.client.conftest import Connect, Serve
from tests.client.services import recommend_to_all
from tests.client.twins import listed

USERS = [f"u{n}" for n in range(23)]


def temporary_file(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile("w+", encoding="utf-8", dir=path.parent)  # noqa: SIM115
    file.write(path.read_text("utf-8"))
    file.seek(0)
    return file


FILES: dict[str, Callable[[Path], Any]] = {
    "open": lambda path: path.open(encoding="utf-8"),
    "open with ends as they are": lambda path: path.open(encoding="utf-8", newline=""),
    "NamedTemporaryFile": temporary_file,
    "codecs": lambda path: codecs.getreader("utf-8")(path.open("rb")),
}


class AsyncFile:
    """A text file as asynchronous libraries have it."""

    def __init__(self, text: str) -> None:
        self._file = io.StringIO(text)

    async def readline(self) -> str:
        return self._file.readline()

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self.readline():
            yield line


SOURCES: dict[str, Callable[[], Any]] = {
    "list": lambda: USERS,
    "tuple": lambda: tuple(USERS),
    "generator": lambda: (user for user in USERS),
    "mapping": lambda: dict.fromkeys(USERS),
    "lines": lambda: io.StringIO("\n".join(USERS)),  # the last one without its end
    "NumPy texts": lambda: np.array(USERS),
    "NumPy objects": lambda: np.array(USERS, dtype=object),
    "pandas Series": lambda: pd.Series(USERS, index=range(100, 123)),
    "pandas Index": lambda: pd.Index(USERS),
    "pandas categories": lambda: pd.Series(USERS, dtype="category"),
    "pandas Arrow strings": lambda: pd.Series(USERS, dtype="string[pyarrow]"),
    "Arrow array": lambda: pa.array(USERS),
    "Arrow chunks": lambda: pa.chunked_array([USERS[:9], USERS[9:]]),
    "NumPy strings one by one": lambda: iter(np.array(USERS)),
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_users_from_anywhere(serve: Serve, connect: Connect, kind: str) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    rows = await listed(client.stream_recommend("movies", SOURCES[kind](), batch_size=5))
    assert [row.user_id for row in rows] == USERS


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", FILES)
async def test_lines_of_a_file(tmp_path: Path, kind: str, end: str) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes("".join(f"{user}{end}" for user in USERS).encode())
    with FILES[kind](path) as file:
        assert UserIds(file).take(100) == USERS
    with FILES[kind](path) as file:
        assert await AsyncUserIds(file).take_async(100) == USERS


async def test_lines_of_an_asynchronous_file() -> None:
    ids = AsyncUserIds(AsyncFile("\n".join(USERS)))
    assert await ids.take_async(4) == USERS[:4]
    assert await ids.take_async(100) == USERS[4:]


def test_lines_of_bytes_are_no_ids() -> None:
    with pytest.raises(TypeError, match=r"user_ids\[0\] must be a str, not bytes b'u0\\n'"):
        UserIds(io.BytesIO(b"u0\n")).take(1)  # type: ignore[arg-type] # that is the mistake


def test_no_more_is_read_than_is_taken() -> None:
    read: list[str] = []

    def users() -> Iterator[str]:
        for user in USERS:
            read.append(user)
            yield user

    ids = UserIds(users())
    assert read == []
    assert ids.take(4) == read == USERS[:4]
    assert [*ids.take(4), *ids.take(100)] == USERS[4:]
    assert ids.take(4) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (["a", "b", "c", 4], r"user_ids\[3\] must be a str, not int 4: give '4'"),
        (iter(["a", "b", "c", None]), r"user_ids\[3\] must be a str, not None"),
        (pd.Series(["a", "b", "c", None], dtype=object), r"user_ids\[3\] must be a str, not None"),
        (pa.array(["a", "b", "c", None]), r"user_ids\[3\] must be a str, not None"),
        (np.array([7, 8]), r"user_ids\[0\] must be a str, not int 7"),
        (np.array([b"a"]), r"user_ids\[0\] must be a str, not bytes b'a'"),
    ],
)
def test_what_is_no_string_is_named_with_its_place(source: Iterable[str], told: str) -> None:
    ids = UserIds(source)
    with pytest.raises(TypeError, match=told):
        list(iter(lambda: ids.take(2), []))


@pytest.mark.parametrize("source", ["196", b"196"])
def test_one_id_is_no_list_of_its_letters(source: Any) -> None:
    with pytest.raises(TypeError, match="user_ids takes several entries: put the one in a list"):
        UserIds(source)


@pytest.mark.parametrize("source", [pd.DataFrame({"user_id": USERS}), pa.table({"user_id": USERS})])
def test_a_table_is_no_column(source: Any) -> None:
    with pytest.raises(TypeError, match="one column of a table"):
        UserIds(source)


async def test_a_wrong_id_ends_the_stream_after_the_right_ones_before_it(
    serve: Serve, connect: Connect
) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    with pytest.raises(TypeError, match=r"user_ids\[20\] must be a str, not int 5"):
        await listed(client.stream_recommend("movies", [*USERS[:20], 5], batch_size=3))
