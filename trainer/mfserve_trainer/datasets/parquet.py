"""Reads Parquet: only the columns that are wanted, repeated texts as codes."""

from __future__ import annotations

from pathlib import Path

from mfserve_trainer.datasets.columns import is_text
from mfserve_trainer.datasets.raw import Columns, RawRows, invalid, missing_column, shorten


def read_parquet(path: Path, columns: Columns, *, source: str) -> RawRows:
    """Reads the columns of a Parquet file.

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
        with parquet.ParquetFile(path, read_dictionary=texts, memory_map=True) as file:
            table = file.read(columns=list(dict.fromkeys(names.values())))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise invalid(source, "is no Parquet file, or a damaged one.") from error
    return RawRows(
        source=source,
        table=pa.table({role: table.column(name) for role, name in names.items()}),
        names=names,
        locate=lambda records: [f"row {record}" for record in records],
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
        raise invalid(source, "is no Parquet file, or a damaged one.") from error
