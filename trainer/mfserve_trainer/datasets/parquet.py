"""Reads Parquet: only the columns that are wanted, one at a time, repeated texts as codes."""

from __future__ import annotations

from pathlib import Path

from mfserve_registry.errors import InvalidArgument
from mfserve_trainer.datasets.columns import is_text
from mfserve_trainer.datasets.raw import (
    Column,
    Columns,
    RawRows,
    Role,
    invalid,
    missing_column,
    release_unused,
    shorten,
)


def read_parquet(path: Path, columns: Columns, *, source: str) -> RawRows:
    """Reads the columns of a Parquet file, which stays open until the rows are closed.

    Raises:
        InvalidArgument: DATASET_INVALID: no Parquet file, a damaged one, or a column missing or twice.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = columns.by_role()
    try:
        schema = parquet.read_schema(path)
        for role, name in names.items():
            if name not in schema.names:
                raise missing_column(source, role, name, schema.names)
            if (times := schema.names.count(name)) > 1:
                raise invalid(source, f"has {times} columns called {shorten(name)!r}; rename all but one.")
        texts = [name for name in names.values() if is_text(schema.field(name).type)]
        file = parquet.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(source) from error

    def read(role: Role) -> Column:
        release_unused()  # what the column before took
        try:
            return file.read(columns=[names[role]]).column(names[role])
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(source) from error

    return RawRows(
        source=source,
        read=read,
        names=names,
        locate=lambda records: [f"row {record}" for record in records],
        close=file.close,
    )


def column_names(path: Path, *, source: str) -> list[str]:
    """Names of a Parquet file's columns.

    Raises:
        InvalidArgument: DATASET_INVALID: no Parquet file, or a damaged one.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(source) from error


def _damaged(source: str) -> InvalidArgument:
    return invalid(source, "is no Parquet file, or a damaged one.")
