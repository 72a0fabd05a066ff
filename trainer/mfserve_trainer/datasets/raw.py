"""Rows as a file gives them, before anybody has judged them: one form for CSV, TSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument

Role = Literal["user", "item", "rating", "timestamp", "title"]

# pyarrow ships no types; this name says at least what is meant.
Column = Any


@dataclass(frozen=True, slots=True)
class Columns:
    """The names under which a file has the columns that are wanted; None: not wanted."""

    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = "rating"
    timestamp: str | None = None
    title: str | None = None

    def by_role(self) -> dict[Role, str]:
        """Role to name, the columns that are asked for only."""
        roles: dict[Role, str | None] = {
            "user": self.user,
            "item": self.item,
            "rating": self.rating,
            "timestamp": self.timestamp,
            "title": self.title,
        }
        return {role: name for role, name in roles.items() if name is not None}


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that has not as many fields as the header."""

    record: int
    fields: int


@dataclass(frozen=True, slots=True)
class RawRows:
    """The columns of a file and what is needed to talk about its rows. At the end of a ``with`` it is closed.

    Attributes:
        source: how messages name the file.
        read: the pyarrow column of a role, all of one length. It may read the file again each time, so that no column
            need stay in memory once it is judged.
        names: role to the column's name in the file.
        locate: turns record numbers into words such as "line 7". The first data row of a table is record
            ``first_record``.
        first_record: 1 where the file has no header line, else 2.
        malformed: records that are not in the table, ascending.
        expected_fields: how many fields a record must have; 0 where the format makes sure.
        blank_lines: a row whose user, item and rating (if it has one) are all empty is an empty line and no row at all.
        close: lets go of the file, where it is kept open.
    """

    source: str
    read: Callable[[Role], Column]
    names: Mapping[Role, str]
    locate: Callable[[Sequence[int]], list[str]]
    first_record: int = 1
    malformed: Sequence[Malformed] = field(default=())
    expected_fields: int = 0
    blank_lines: bool = False
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def records(self, rows: NDArray[np.intp]) -> list[int]:
        """Record numbers of rows of the table: their place in the file, malformed records counted too."""
        rows_before = np.array(
            [bad.record - self.first_record - earlier_bad for earlier_bad, bad in enumerate(self.malformed)],
            dtype=np.int64,
        )
        shift = np.searchsorted(rows_before, rows, side="right")
        return [int(record) for record in rows + self.first_record + shift]


def release_unused() -> None:
    """Gives back what Arrow keeps of freed columns in case of other ones: 20 bytes a rating."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def missing_column(source: str, role: Role, wanted: str, present: Sequence[str]) -> InvalidArgument:
    """The error for a file that lacks a column: says which ones it has."""
    shown = ", ".join(repr(shorten(name)) for name in present[:12])
    more = f" and {len(present) - 12} more" if len(present) > 12 else ""
    without = " If there are no ratings, set dataset.implicit." if role == "rating" else ""
    return InvalidArgument(
        f"{source} has no column {wanted!r} for the {role}; it has {shown}{more}. "
        f"Name the right one in dataset.file.{role}_column.{without}",
        reason="DATASET_INVALID",
        field=f"dataset.file.{role}_column",
    )


def invalid(source: str, problem: str) -> InvalidArgument:
    """The error for a file that cannot be used as a whole."""
    return InvalidArgument(f"{source} {problem}", reason="DATASET_INVALID", field="dataset")


def shorten(text: str, limit: int = 40) -> str:
    """At most ``limit`` characters of it: a message quotes a value, it does not carry one."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
