"""Loads ratings from a file of the caller's, or from an upload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.formats import format_of
from mfserve_registry.paths import resolve_under_roots
from mfserve_registry.spec import DatasetSpec, FileDataset
from mfserve_trainer.datasets.check import to_ratings
from mfserve_trainer.datasets.delimited import CSV, TSV, read_delimited
from mfserve_trainer.datasets.parquet import column_names, read_parquet
from mfserve_trainer.datasets.raw import Columns, RawRows, invalid
from mfserve_trainer.ratings import Ratings


def load_file(source: FileDataset, spec: DatasetSpec, roots: Sequence[Path]) -> Ratings:
    """Loads a CSV, TSV or Parquet file under one of the data roots; its name names the ratings.

    Raises:
        PermissionDenied: PATH_NOT_ALLOWED.
        NotFound: FILE_NOT_FOUND.
        InvalidArgument: DATASET_INVALID, with the file, the column or the lines, and what to do.
    """
    path = resolve_under_roots(source.path, roots)
    with _read(path, source, implicit=spec.implicit) as rows:
        return to_ratings(rows, spec, name=path.name)


def load_upload(upload_id: str, path: Path, spec: DatasetSpec) -> Ratings:
    """Loads an upload: Parquet with user_id, item_id and, where the caller sent them, rating, timestamp and title.

    Without ratings it is implicit, whether or not the specification says so again.

    Raises:
        InvalidArgument: DATASET_INVALID.
    """
    source = f"upload {upload_id}"
    present = column_names(path, source=source)
    if "rating" not in present:
        if spec.scale is not None:
            raise InvalidArgument(
                f"{source} has no ratings, and so no scale: leave it out.",
                reason="DATASET_INVALID",
                field="dataset.scale",
            )
        spec = spec.model_copy(update={"implicit": True})
    columns = Columns(
        rating=None if spec.implicit else "rating",
        timestamp="timestamp" if "timestamp" in present else None,
        title="title" if "title" in present else None,
    )
    with read_parquet(path, columns, source=source) as rows:
        # Not the id: it would give the same rows, sent twice, two digests. The job tells the id.
        return to_ratings(rows, spec, name="upload")


def _read(path: Path, source: FileDataset, *, implicit: bool) -> RawRows:
    columns = Columns(
        user=source.user_column,
        item=source.item_column,
        rating=None if implicit else source.rating_column,
        timestamp=source.timestamp_column,
        title=source.title_column,
    )
    kind = format_of(path, source)
    try:
        if path.stat().st_size == 0:
            raise invalid(path.name, "is empty.")
        if kind == "parquet":
            return read_parquet(path, columns, source=path.name)
        return read_delimited(
            lambda: path.open("rb"), columns, TSV if kind == "tsv" else CSV, source=path.name
        )
    except OSError as error:
        raise invalid(path.name, f"cannot be read: {error.strerror or 'input/output error'}.") from error
