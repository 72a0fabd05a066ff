"""Data without ratings, as files, uploads and data sets whose ratings are not to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, RatingScale, UploadedDataset
from mfserve_trainer.datasets import load
from mfserve_trainer.datasets.check import to_ratings
from mfserve_trainer.datasets.movielens import read_100k
from mfserve_trainer.ratings import IMPLICIT_SCALE, from_rows
from tests.trainer.datasets.samples import load_file, load_text, refused, rows_of, write_100k

TEXT = "user_id,item_id,when,name\na,x,5,X\nb,x,7,\nb,é,6,Été\n"
ROWS = [("a", "x", 1.0), ("b", "x", 1.0), ("b", "é", 1.0)]


def test_a_text_file(tmp_path: Path) -> None:
    found = load_text(tmp_path, TEXT, implicit=True, timestamp_column="when", title_column="name")
    assert rows_of(found) == ROWS
    assert found.implicit
    assert found.scale == IMPLICIT_SCALE
    assert found.period == (5, 7)
    assert found.item_titles is not None
    assert found.item_titles.tolist() == ["X", "Été"]
    part = found.take(np.array([2]))
    assert (part.implicit, rows_of(part)) == (True, [("b", "é", 1.0)])


def test_every_form_has_one_fingerprint_which_no_ratings_have(tmp_path: Path) -> None:
    csv = load_text(tmp_path, TEXT, implicit=True)
    tsv = load_text(tmp_path, TEXT.replace(",", "\t"), name="r.tsv", implicit=True)
    path = tmp_path / "r.parquet"
    parquet.write_table(pa.table({"user_id": ["a", "b", "b"], "item_id": ["x", "x", "é"]}), path)
    columnar = load_file(path, implicit=True)
    source = DatasetSpec(source=UploadedDataset(upload_id="7"))
    upload = load(source, data_roots=(), uploads=lambda upload_id: path)
    assert upload.implicit
    prints = {found.fingerprint for found in (csv, tsv, columnar, upload)}
    assert len(prints) == 1
    users, items, ones = zip(*ROWS, strict=True)
    rated = from_rows(users, items, ones, scale=RatingScale(minimum=0, maximum=1))
    assert rated.fingerprint not in prints


def test_an_upload_with_ratings_may_be_trained_without_them(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    columns = {"user_id": ["a", "b"], "item_id": ["x", "x"], "rating": [float("nan"), 3.0]}
    parquet.write_table(pa.table(columns), path)
    source = DatasetSpec(source=UploadedDataset(upload_id="7"), implicit=True)
    assert rows_of(load(source, data_roots=(), uploads=lambda upload_id: path)) == ROWS[:2]


@pytest.mark.parametrize("rating", ["4", "", "good", "1e99"])
def test_ratings_are_not_read(tmp_path: Path, rating: str) -> None:
    text = f"user_id,item_id,rating\na,x,{rating}\nb,x,{rating}\nb,é,{rating}\n"
    assert rows_of(load_text(tmp_path, text, implicit=True)) == ROWS


def test_a_file_without_ratings_is_refused_with_a_hint_unless_it_is_meant(tmp_path: Path) -> None:
    error = refused(lambda: load_text(tmp_path, TEXT))
    assert error is not None
    assert (error.reason, error.field) == ("DATASET_INVALID", "dataset.file.rating_column")
    assert error.message == (
        "ratings.csv has no column 'rating' for the rating; it has 'user_id', 'item_id', 'when', 'name'. "
        "Name the right one in dataset.file.rating_column. If there are no ratings, set dataset.implicit."
    )
    missing = refused(lambda: load_text(tmp_path, TEXT, implicit=True, item_column="what"))
    assert missing is not None
    assert "implicit" not in missing.message


@pytest.mark.parametrize(("policy", "left"), [("first", 2), ("last", 2), ("mean", 2), ("fail", None)])
def test_duplicates(tmp_path: Path, policy: str, left: int | None) -> None:
    text = "user_id,item_id\na,x\nb,y\na,x\n"
    options: dict[str, Any] = {"implicit": True, "duplicates": policy}
    if left is None:
        with pytest.raises(InvalidArgument, match="line 4 rates the same item for the same user as line 2"):
            load_text(tmp_path, text, **options)
        return
    found = load_text(tmp_path, text, **options)
    expected = [("b", "y", 1.0), ("a", "x", 1.0)] if policy == "last" else [("a", "x", 1.0), ("b", "y", 1.0)]
    assert rows_of(found) == expected
    assert found.skipped == {"duplicate": 1}


def test_bad_rows_and_empty_lines(tmp_path: Path) -> None:
    text = "user_id,item_id\na,x\n\n,y\nb\nb,x\n"
    with pytest.raises(InvalidArgument, match="2 bad rows: line 4: user_id is missing; line 5: 1 field"):
        load_text(tmp_path, text, implicit=True)
    found = load_text(tmp_path, text, implicit=True, bad_rows="skip")
    assert rows_of(found) == ROWS[:2]
    assert found.skipped == {"missing_field": 1, "field_count": 1}


def test_the_ratings_of_a_built_in_data_set_are_not_read_either(tmp_path: Path) -> None:
    write_100k(tmp_path)
    rows, titles = read_100k(tmp_path)
    source = BuiltinDataset(name="movielens-100k")
    scale = RatingScale(minimum=1, maximum=5)
    for implicit in (False, True):
        spec = DatasetSpec(source=source, implicit=implicit)
        found = to_ratings(rows, spec, name="100k", own_scale=scale, titles=titles)
        assert found.implicit == implicit
        assert {*found.rating.tolist()} == ({1.0} if implicit else {1.0, 2.0, 3.0, 4.0, 5.0})
        assert found.scale == (IMPLICIT_SCALE if implicit else scale)


def test_a_scale_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    parquet.write_table(pa.table({"user_id": ["a"], "item_id": ["x"]}), path)
    source = DatasetSpec(source=UploadedDataset(upload_id="7"), scale=RatingScale(minimum=1, maximum=5))
    with pytest.raises(InvalidArgument, match="upload 7 has no ratings, and so no scale") as caught:
        load(source, data_roots=(), uploads=lambda upload_id: path)
    assert caught.value.field == "dataset.scale"
    with pytest.raises(ValidationError, match="implicit data have no ratings, and so no scale"):
        DatasetSpec(
            source=UploadedDataset(upload_id="7"), implicit=True, scale=RatingScale(minimum=1, maximum=5)
        )
