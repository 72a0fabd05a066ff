"""Column types that give the same Python values on every database."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String, Text
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite numbers rows by itself only where the key's type is exactly INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class Whole(TypeDecorator[int]):
    """A whole number of 32 bits, that may be compared with any of 64: callers ask for versions that cannot be."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Integer
    cache_ok: bool | None = True

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return BigInteger() if isinstance(value, int) else self


class Line(TypeDecorator[str]):
    """A text, of at most ``length`` characters where that is given; sorted and compared by its characters' numbers.

    PostgreSQL has no NUL in texts, and would sort by the rules of some language. A NUL is kept as U+FFFD.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = String
    cache_ok: bool | None = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        collation = "C" if dialect.name == "postgresql" else None
        length = cast("String", self.impl_instance).length
        if length is None:
            return Text(collation=collation)
        return dialect.type_descriptor(String(length, collation))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\N{REPLACEMENT CHARACTER}")


class UtcTime(TypeDecorator[datetime]):
    """A moment. Timezone-aware in Python; SQLite keeps the UTC wall clock as text that sorts by time."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class FloatMap(TypeDecorator[Mapping[str, float]]):
    """Named floats as JSON. A diverging loss is a fact worth keeping, and JSON has no NaN: those go in as text."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = JSON
    cache_ok: bool | None = True

    def process_bind_param(
        self, value: Mapping[str, float] | None, dialect: Dialect
    ) -> dict[str, Any] | None:
        if value is None:
            return None
        floats = {name: float(number) for name, number in value.items()}
        return {name: x if math.isfinite(x) else repr(x) for name, x in floats.items()}

    def process_result_value(self, value: dict[str, Any] | None, dialect: Dialect) -> dict[str, float] | None:
        if value is None:
            return None
        return {name: float(number) for name, number in value.items()}
