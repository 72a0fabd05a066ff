"""Uploads: what goes in comes out, once, or nothing is left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfserve_registry import Registry, UploadColumn, UploadLimits
from mfserve_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from mfserve_registry.spec import DatasetSpec, UploadedDataset
from mfserve_registry.uploads import writer as writer_module
from tests.places import Place
from tests.registry.helpers import EPOCH, request

Row = tuple[str, str, float, int, str]

ROWS: list[Row] = [
    ("u1", "i1", 4.5, 7, "Été"),
    ("u2", "i1", 1.0, -8, ""),
    ("", "i2", float("nan"), 0, "x\x00y"),
]
ALL = (UploadColumn.RATING, UploadColumn.TIMESTAMP, UploadColumn.TITLE)


def upload(registry: Registry, batches: Sequence[Sequence[Row]], request_id: str = "r1") -> str:
    with registry.uploads.create(request_id, ALL) as writer:
        for batch in batches:
            users, items, ratings, timestamps, titles = (list(column) for column in zip(*batch, strict=True))
            writer.append(users, items, ratings, timestamps, titles)
        return writer.commit().upload_id


def test_what_goes_in_comes_out(place: Place, registry: Registry) -> None:
    upload_id = upload(registry, [ROWS[:2], ROWS[2:]])
    known = registry.uploads.get(upload_id)
    path = registry.uploads.path(upload_id)
    assert (known.rows, known.request_id, known.created_at) == (3, "r1", EPOCH)
    assert known.columns == ("user_id", "item_id", "rating", "timestamp", "title")
    assert known.size_bytes == path.stat().st_size
    with registry.uploads.open(upload_id) as file:
        assert known.sha256 == hashlib.sha256(file.read()).hexdigest()
    table = pq.read_table(path)
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "double", "int64", "string"]
    assert str(list(zip(*table.to_pydict().values(), strict=True))) == str(
        ROWS
    )  # as text: NaN equals nothing
    assert place.stored("uploads") == [f"{upload_id}.parquet"]


def test_only_the_named_columns_are_there(registry: Registry) -> None:
    with registry.uploads.create("r1") as writer:
        writer.append(np.array(["u"], dtype=object), ["i"], np.array([3.5], dtype=np.float32))
        known = writer.commit()
    assert pq.read_table(registry.uploads.path(known.upload_id)).to_pydict() == {
        "user_id": ["u"],
        "item_id": ["i"],
        "rating": [3.5],
    }


def test_a_job_can_train_on_it(registry: Registry) -> None:
    upload_id = upload(registry, [ROWS])
    dataset = DatasetSpec(source=UploadedDataset(upload_id=upload_id))
    assert registry.jobs.submit(replace(request(), dataset=dataset))[1]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_same_rows_in_any_batches_are_the_same_upload(
    place: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr(writer_module, "ROW_GROUP", 4)
    row = st.tuples(
        st.text(max_size=4),
        st.sampled_from(["i1", "i2"]),
        st.floats(allow_nan=False),
        st.integers(-(2**63), 2**63 - 1),
        st.text(max_size=4),
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    name = uuid4().hex
    whole = upload(registry, [rows], name)
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True) if a < b]
    assert upload(registry, parts, name) == whole
    table = pq.read_table(registry.uploads.path(whole))
    assert list(zip(*table.to_pydict().values(), strict=True)) == rows
    assert not list(place.staging.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        ROWS[:2],
        ROWS[::-1],
        [("u", "1i1", 4.5, 7, "Été"), *ROWS[1:]],
        [("u1", "i1", 4.5, 7, "Ét"), ("u2", "i1", 1.0, -8, "é"), *ROWS[2:]],
        [("u1", "i1", 4.0, 7, "Été"), *ROWS[1:]],
        [("u1", "i1", 4.5, 8, "Été"), *ROWS[1:]],
    ],
)
def test_other_rows_under_the_same_request_id_are_refused(
    place: Place, registry: Registry, other: list[Row]
) -> None:
    first = upload(registry, [ROWS])
    with pytest.raises(AlreadyExists) as caught:
        upload(registry, [other])
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert place.stored("uploads") == [f"{first}.parquet"]


def test_other_columns_under_the_same_request_id_are_refused(registry: Registry) -> None:
    upload(registry, [ROWS])
    with registry.uploads.create("r1") as writer:
        writer.append(["u"], ["i"], [1.0])
        with pytest.raises(AlreadyExists):
            writer.commit()


@pytest.mark.parametrize("limits", [UploadLimits(rows=5), UploadLimits(content_bytes=60)])
def test_too_large_an_upload_leaves_nothing(place: Place, registry: Registry, limits: UploadLimits) -> None:
    with registry.uploads.create("r1", limits=limits) as writer:
        for _ in range(3):
            writer.append(["u1"], ["i1"], [1.0])
        with pytest.raises(ResourceExhausted) as caught:
            writer.append(["u1"] * 3, ["i1"] * 3, [1.0] * 3)
        assert caught.value.reason == "UPLOAD_TOO_LARGE"
        assert [*place.stored("uploads"), *place.staging.iterdir()] == []
        with pytest.raises(FailedPrecondition) as over:
            writer.commit()
        assert over.value.reason == "UPLOAD_CLOSED"


def test_an_upload_up_to_the_limit(registry: Registry) -> None:
    # Each row: two texts of 2 bytes and two lengths of 4, and a rating of 8.
    with registry.uploads.create("r1", limits=UploadLimits(rows=5, content_bytes=100)) as writer:
        for _ in range(5):
            writer.append(["u1"], ["i1"], [1.0])
        assert writer.commit().rows == 5


def test_leaving_without_commit_leaves_nothing(place: Place, registry: Registry) -> None:
    with registry.uploads.create("r1") as writer:
        writer.append(["u1"], ["i1"], [1.0])
    writer.abort()
    assert [*place.stored("uploads"), *place.staging.iterdir()] == []
    with pytest.raises(FailedPrecondition):
        writer.append(["u1"], ["i1"], [1.0])


def test_an_upload_without_rows_is_refused(place: Place, registry: Registry) -> None:
    with registry.uploads.create("r1") as writer:
        writer.append([], [], [])
        with pytest.raises(InvalidArgument) as caught:
            writer.commit()
    assert caught.value.reason == "UPLOAD_EMPTY"
    assert [*place.stored("uploads"), *place.staging.iterdir()] == []


BAD: dict[str, Callable[[writer_module.UploadWriter], None]] = {
    "lengths": lambda writer: writer.append(["u"], ["i", "j"], [1.0]),
    "an unknown column": lambda writer: writer.append(["u"], ["i"], [1.0], titles=["t"]),
    "numbers as ids": lambda writer: writer.append([1], ["i"], [1.0]),  # type: ignore[list-item]  # the point
    "texts as ratings": lambda writer: writer.append(["u"], ["i"], ["x"]),  # type: ignore[list-item]  # the point
    "nothing": lambda writer: writer.append(["u"], [None], [1.0]),  # type: ignore[list-item]  # the point
}


@pytest.mark.parametrize("bad", BAD)
def test_batches_that_do_not_fit(registry: Registry, bad: str) -> None:
    with registry.uploads.create("r1") as writer:
        with pytest.raises(InvalidArgument) as caught:
            BAD[bad](writer)
        assert caught.value.reason == "INVALID_FIELD"
        writer.append(["u"], ["i"], [1.0])
        assert writer.commit().rows == 1


def test_an_upload_without_ratings(registry: Registry) -> None:
    with registry.uploads.create("r1", []) as writer:
        with pytest.raises(InvalidArgument, match="has no column rating"):
            writer.append(["u"], ["i"], [1.0])
        writer.append(["u", "v"], ["i", "i"])
        stored = writer.commit()
    assert stored.columns == (UploadColumn.USER, UploadColumn.ITEM)
    assert pq.read_table(registry.uploads.path(stored.upload_id)).column_names == ["user_id", "item_id"]
    with registry.uploads.create("r1") as writer:
        writer.append(["u", "v"], ["i", "i"], [1.0, 1.0])
        with pytest.raises(AlreadyExists):
            writer.commit()


def test_a_missing_column(registry: Registry) -> None:
    with registry.uploads.create("r1", ALL) as writer, pytest.raises(InvalidArgument) as caught:
        writer.append(["u"], ["i"], [1.0], titles=["t"])
    assert caught.value.field == "timestamp"
    with pytest.raises(InvalidArgument):
        registry.uploads.create("r1", ["genre"])  # type: ignore[list-item]  # the point
    with pytest.raises(InvalidArgument):
        registry.uploads.create("")


def test_unknown_uploads(registry: Registry) -> None:
    for upload_id in ("nobody", "../registry"):
        with pytest.raises(NotFound) as caught:
            registry.uploads.path(upload_id)
        assert caught.value.reason == "UPLOAD_NOT_FOUND"
