"""``mfserve embeddings``: a version's embeddings as a file."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mfserve.cli import _options as options
from mfserve.cli._output import CommandError, UsageError, as_json, line, plain
from mfserve.cli._server import Server
from mfserve.types import Embeddings, Head


class Side(StrEnum):
    """Users or items, as people type it."""

    USER = "user"
    ITEM = "item"


def embeddings(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .npz or .parquet.", readable=False)
    ],
    side: Annotated[Side, typer.Option(help="Whose embeddings.")] = Side.ITEM,
    head: Annotated[
        options.HeadName | None,
        typer.Option(help="Which head's.", show_default="ranking, or rating where there is no other"),
    ] = None,
    version: options.Version = None,
    alias: options.Alias = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Write all embeddings of a version's users or items to a file."""
    write = _writer(output)
    with server.client() as client:
        found = client.get_embeddings(
            model,
            side.value,
            head=None if head is None else head.value,
            timeout=server.timeout,
            **options.choice(version, alias),
        )
    try:
        write(output, found)
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from error
    facts = {
        "path": str(output),
        "count": len(found.ids),
        "dimension": found.dimension,
        "head": found.head,
        "served_version": found.served_version,
    }
    if json:
        as_json(facts)
        return
    line(
        f"{len(found.ids):,} {side.value} embeddings of {found.dimension} numbers written to {plain(output)} "
        f"({found.head.value.lower()} head of {plain(model)} version {found.served_version.version})"
    )


def _writer(output: Path) -> Callable[[Path, Embeddings], None]:
    """What writes such a file; refuses before anything is fetched where it could not be written."""
    libraries = {".npz": ("numpy", _write_npz), ".parquet": ("pyarrow", _write_parquet)}
    if output.suffix not in libraries:
        raise UsageError(f"--output {output}: the name must end in .npz or .parquet")
    if not output.parent.is_dir():
        raise CommandError(f"cannot write {output}: there is no folder {output.parent}")
    library, write = libraries[output.suffix]
    if find_spec(library) is None:
        raise CommandError(f"writing {output.suffix} needs {library}: pip install {library}")
    return write


def _write_npz(path: Path, found: Embeddings) -> None:
    # Arrays: ids, values and, for a rating head, biases and intercept. Read it with numpy.load(path).
    import numpy as np

    columns = {"ids": np.array(found.ids, dtype=np.str_), "values": np.asarray(found.values)}
    if found.biases is not None:
        columns["biases"] = np.asarray(found.biases)
    if found.head is Head.RATING:
        columns["intercept"] = np.array(found.intercept)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _write_parquet(path: Path, found: Embeddings) -> None:
    # Columns: id, values (a list of fixed length) and, for a rating head, bias; its intercept is in the metadata.
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.Array.from_buffers(
        pa.float32(), len(found.ids) * found.dimension, [None, pa.py_buffer(found.values)]
    )
    columns = {
        "id": pa.array(found.ids, pa.string()),
        "values": pa.FixedSizeListArray.from_arrays(flat, found.dimension),
    }
    facts = {"model": found.served_version.model, "version": str(found.served_version.version)}
    facts |= {"digest": found.served_version.digest, "head": found.head.value.lower()}
    if found.biases is not None:
        columns["bias"] = pa.array(found.biases, pa.float32())
    if found.head is Head.RATING:
        facts["intercept"] = repr(found.intercept)
    pq.write_table(pa.table(columns).replace_schema_metadata(facts), path)
