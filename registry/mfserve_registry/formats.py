"""In which format a file of ratings is: as was said, else as its name's ending tells."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import FileDataset

Format = Literal["csv", "tsv", "parquet"]

_ENDINGS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}


def format_of(path: Path, source: FileDataset) -> Format:
    """The format of the file that ``source`` names and that lies at ``path``.

    Raises:
        InvalidArgument: DATASET_INVALID: nothing tells it.
    """
    if source.format != "auto":
        return source.format
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        lacks = f"the ending {ending!r} does not tell the format" if ending else "no ending tells the format"
        raise InvalidArgument(
            f"{path.name}: {lacks}; set dataset.file.format to csv, tsv or parquet.",
            reason="DATASET_INVALID",
            field="dataset.file.format",
        )
    return _ENDINGS[ending]
