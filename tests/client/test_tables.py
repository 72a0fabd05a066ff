"""The same recommendations as rows, as NumPy arrays, as an Arrow table and as a DataFrame."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mfserve.v1 import recommendation_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import started
from tests.client.twins import listed

BASES = (pb.RECOMMENDATION_BASIS_MODEL, pb.RECOMMENDATION_BASIS_POPULARITY)
NAMES = ["user_id", "rank", "item_id", "score", "predicted_rating", "title", "basis"]
USERS = ["a", "nobody", "none left", "b", "c"]

ROWS = [
    ("a", 1, "i1", 2.5, 4.5, "One", "MODEL"),
    ("a", 2, "i2", 1.5, 3.5, None, "MODEL"),
    ("nobody", 1, "i2", 9.0, 3.0, None, "POPULARITY"),
    ("b", 1, "i2", 0.5, 2.0, None, "MODEL"),
    ("c", 1, "i1", 0.25, 1.0, "One", "MODEL"),
]
"""What is recommended to USERS; nothing to the third."""


def recommend(*, rated: bool, titled: bool) -> Any:
    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        next(requests)
        yield started()
        for request in requests:
            users = list(request.batch.user_ids)
            rows = [row for user in users for row in ROWS if row[0] == user]
            items = sorted({row[2] for row in rows})
            yield pb.StreamRecommendResponse(
                batch=pb.RecommendationBatch(
                    batch_id=request.batch.batch_id,
                    item_ids=items,
                    titles=["One" if item == "i1" else "" for item in items] if titled else [],
                    item_indices=[items.index(row[2]) for row in rows],
                    scores=[row[3] for row in rows],
                    predicted_ratings=[row[4] for row in rows] if rated else [],
                    counts=[sum(row[0] == user for row in rows) for user in users],
                    bases=[BASES[user == "nobody"] for user in users],
                )
            )

    return answers


def expected(*, rated: bool, titled: bool) -> list[tuple[Any, ...]]:
    return [(*r[:4], r[4] if rated else None, r[5] if titled else None, r[6]) for r in ROWS]


@pytest.mark.parametrize("rated", [True, False])
@pytest.mark.parametrize("titled", [True, False])
async def test_arrow(serve: Serve, connect: Connect, rated: bool, titled: bool) -> None:
    client = connect(serve(StreamRecommend=recommend(rated=rated, titled=titled)).address)
    table: pa.Table = await client.stream_recommend("movies", USERS, batch_size=2).to_arrow()
    assert table.column_names == NAMES
    assert [tuple(row.values()) for row in table.to_pylist()] == expected(rated=rated, titled=titled)
    assert table.schema.field("score").type == table.schema.field("predicted_rating").type == pa.float32()
    batches = await listed(client.stream_recommend("movies", USERS, batch_size=2).batches())
    assert pa.concat_tables([batch.to_arrow() for batch in batches]) == table


@pytest.mark.parametrize("rated", [True, False])
@pytest.mark.parametrize("titled", [True, False])
async def test_pandas(serve: Serve, connect: Connect, rated: bool, titled: bool) -> None:
    client = connect(serve(StreamRecommend=recommend(rated=rated, titled=titled)).address)
    frame: pd.DataFrame = await client.stream_recommend("movies", USERS, batch_size=2).to_pandas()
    wanted = pd.DataFrame(expected(rated=rated, titled=titled), columns=NAMES).astype(
        {"rank": "int32", "score": "float32", "predicted_rating": "float32"}
    )
    assert frame.dtypes["title"] == frame.dtypes["user_id"]
    pd.testing.assert_frame_equal(frame, wanted.astype({"title": frame.dtypes["title"]}))
    batches = await listed(client.stream_recommend("movies", USERS, batch_size=2).batches())
    pd.testing.assert_frame_equal(pd.concat([b.to_pandas() for b in batches], ignore_index=True), frame)


async def test_no_users_are_a_table_of_no_rows(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend(rated=True, titled=True)).address)
    table: pa.Table = await client.stream_recommend("movies", []).to_arrow()
    frame: pd.DataFrame = await client.stream_recommend("movies", []).to_pandas()
    assert table.num_rows == len(frame) == 0
    assert table.column_names == list(frame.columns) == NAMES


async def test_numpy_copies_nothing(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend(rated=True, titled=True)).address)
    (batch,) = await listed(client.stream_recommend("movies", USERS).batches())
    arrays = batch.to_numpy()
    assert [batch.item_ids[index] for index in arrays.item_indices] == [row[2] for row in ROWS]
    assert arrays.scores.tolist() == [row[3] for row in ROWS]
    assert arrays.predicted_ratings.tolist() == [row[4] for row in ROWS]
    assert arrays.offsets.tolist() == [0, 2, 3, 3, 4, 5]
    assert [array.dtype for array in arrays] == [np.uint32, np.float32, np.float32, np.int64]
    for array, of in zip(
        arrays, (batch.item_indices, batch.scores, batch.predicted_ratings, batch.offsets), strict=True
    ):
        assert np.shares_memory(array, np.frombuffer(of, dtype=array.dtype))


async def test_rows_say_the_same(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend(rated=True, titled=True)).address)
    rows = await listed(client.stream_recommend("movies", USERS, batch_size=2))
    flat = [
        (row.user_id, rank, item.item_id, item.score, item.predicted_rating, item.title, row.basis)
        for row in rows
        for rank, item in enumerate(row, 1)
    ]
    assert flat == ROWS
    # However a recommendation is reached, it is the same one: frozen, comparable, hashable.
    for row in rows:
        assert list(row) == list(row[:]) == [row[n] for n in range(len(row))]
        assert {hash(item) for item in row} == {hash(item) for item in row[:]}
    with pytest.raises(AttributeError):
        next(iter(rows[0])).score = 1.0


@pytest.mark.parametrize(
    ("method", "library"), [("to_arrow", "pyarrow"), ("to_pandas", "pandas"), ("to_numpy", "numpy")]
)
def test_a_missing_library_is_one_clear_line(method: str, library: str) -> None:
    program = f"""
import sys
from array import array
from mfserve.types import RecommendationBasis, RecommendationBatch, ServedVersion
assert not {{"numpy", "pandas", "pyarrow"}} & set(sys.modules)
sys.modules["{library}"] = None
batch = RecommendationBatch(
    ("u",), ("i",), None, array("I", [0]), array("f", [1]), None, array("q", [0, 1]), (RecommendationBasis.MODEL,),
    None, ServedVersion("m", 1, "d"))
try:
    batch.{method}()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"{method}() needs ")
    assert f"{library} is missing: pip install " in done.stdout
