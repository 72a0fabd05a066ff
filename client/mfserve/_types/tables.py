"""Batches of recommendations as arrays, Arrow tables and DataFrames. Only who asks for one needs its library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from mfserve._types.bulk import RecommendationBatch


class RecommendationArrays(NamedTuple):
    """The numbers of a batch as NumPy arrays, which share the batch's memory."""

    item_indices: NDArray[np.uint32]
    """(total,): which of the batch's ``item_ids`` each recommendation is."""
    scores: NDArray[np.float32]
    """(total,)"""
    predicted_ratings: NDArray[np.float32] | None
    """(total,), or ``None`` as in the batch."""
    offsets: NDArray[np.int64]
    """(users + 1,): the recommendations of user n are those from ``offsets[n]`` to ``offsets[n + 1]``."""


def arrays(batch: RecommendationBatch) -> RecommendationArrays:
    """ImportError where NumPy is missing."""
    (numpy,) = _libraries("to_numpy", "numpy")
    rated = batch.predicted_ratings
    return RecommendationArrays(
        numpy.asarray(batch.item_indices),
        numpy.asarray(batch.scores),
        None if rated is None else numpy.asarray(rated),
        numpy.asarray(batch.offsets),
    )


def data_frame(batches: Iterable[RecommendationBatch]) -> pd.DataFrame:
    """One row per recommendation. ImportError where pandas is missing."""
    numpy, pandas = _libraries("to_pandas", "numpy", "pandas")
    parts = [_flat(numpy, batch) for batch in batches]
    text = pandas.Series([""]).dtype  # pandas' own choice, also for a column of nothing
    columns = {
        name: pandas.Series(
            numpy.concatenate([numpy.empty(0, dtype), *(part[name] for part in parts)]),
            dtype=text if dtype is object else dtype,
        )
        for name, dtype in _DTYPES.items()
    }
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def arrow_table(batches: Iterable[RecommendationBatch]) -> pa.Table:
    """One row per recommendation. ImportError where pyarrow is missing."""
    numpy, arrow = _libraries("to_arrow", "numpy", "pyarrow")
    types = {object: arrow.string(), "int32": arrow.int32(), "float32": arrow.float32()}
    schema = arrow.schema([(name, types[dtype]) for name, dtype in _DTYPES.items()])
    return arrow.concat_tables([schema.empty_table(), *(_table(numpy, arrow, schema, b) for b in batches)])


_DTYPES: dict[str, Any] = {
    "user_id": object,
    "rank": "int32",  # from 1
    "item_id": object,
    "score": "float32",
    "predicted_rating": "float32",
    "title": object,
    "basis": object,
}


def _flat(numpy: Any, batch: RecommendationBatch) -> dict[str, Any]:
    user, rank = _user_and_rank(numpy, batch)
    item = numpy.asarray(batch.item_indices)
    rated = batch.predicted_ratings

    def texts(strings: Sequence[str | None], places: Any) -> Any:
        return numpy.array([*strings, None], dtype=object)[:-1][places]

    return {
        "user_id": texts(batch.user_ids, user),
        "rank": rank,
        "item_id": texts(batch.item_ids, item),
        "score": numpy.asarray(batch.scores),
        "predicted_rating": numpy.full(len(item), numpy.nan, "float32") if rated is None else rated,
        "title": texts(_titles(batch), item),
        "basis": texts([str(basis) for basis in batch.bases], user),
    }


def _table(numpy: Any, arrow: Any, schema: Any, batch: RecommendationBatch) -> Any:
    user, rank = _user_and_rank(numpy, batch)
    item = arrow.array(numpy.asarray(batch.item_indices))
    rated = batch.predicted_ratings

    def texts(strings: Sequence[str | None], places: Any) -> Any:
        return arrow.array(strings, arrow.string()).take(places)

    columns = [
        texts(batch.user_ids, arrow.array(user)),
        arrow.array(rank),
        texts(batch.item_ids, item),
        arrow.array(numpy.asarray(batch.scores)),
        arrow.nulls(len(item), arrow.float32()) if rated is None else arrow.array(numpy.asarray(rated)),
        texts(_titles(batch), item),
        texts([str(basis) for basis in batch.bases], arrow.array(user)),
    ]
    return arrow.Table.from_arrays(columns, schema=schema)


def _user_and_rank(numpy: Any, batch: RecommendationBatch) -> tuple[Any, Any]:
    """For each recommendation: whose it is, by place in the batch, and which of that user's, from 1."""
    offsets = numpy.asarray(batch.offsets)
    counts = numpy.diff(offsets)
    user = numpy.repeat(numpy.arange(len(counts)), counts)
    rank = numpy.arange(len(user)) - numpy.repeat(offsets[:-1], counts) + 1
    return user, rank.astype("int32")


def _titles(batch: RecommendationBatch) -> list[str | None]:
    if batch.titles is None:
        return [None] * len(batch.item_ids)
    return [title or None for title in batch.titles]


def _libraries(method: str, *names: str) -> list[Any]:
    try:
        return [import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{method}() needs {' and '.join(names)}, and {error.name} is missing: pip install {' '.join(names)}",
            name=error.name,
        ) from error
