"""CSV, TSV, Parquet and uploads, when they are as they should be."""

import csv
import datetime as dt
import io
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mfserve_registry.errors import InvalidArgument, NotFound, PermissionDenied
from mfserve_registry.spec import DatasetSpec, RatingScale, UploadedDataset
from mfserve_trainer.datasets import load
from mfserve_trainer.datasets.check import to_ratings
from mfserve_trainer.datasets.delimited import CSV, Dialect, read_delimited
from mfserve_trainer.datasets.parquet import read_parquet
from mfserve_trainer.datasets.raw import Column, Columns, Role
from mfserve_trainer.ratings import Ratings

from .samples import load_file, load_text, no_uploads, refused, rows_of

ROWS = [("007", "x", 3.0), ("7", "y", 4.5), ("é", "x", 1.0)]


def test_csv_keeps_ids_as_they_are_written(tmp_path: Path) -> None:
    ratings = load_text(tmp_path, "user_id,item_id,rating\n007,x,3\n7,y,4.5\né,x,1\n")
    assert rows_of(ratings) == ROWS
    assert ratings.name == "ratings.csv"
    assert ratings.scale == RatingScale(minimum=1, maximum=4.5)
    assert ratings.item_titles is None
    assert ratings.period is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\ufeffuser_id,item_id,rating\n007,x,3\n7,y,4.5\né,x,1\n", "bom.csv"),
        ("user_id,item_id,rating\r\n007,x,3\r\n7,y,4.5\r\né,x,1", "windows.csv"),
        ('"user_id","item_id","rating"\n"007","x","3"\n7,y,"4.5"\né,x,1\n', "quoted.csv"),
        ('rating,other,item_id,user_id\n3,?,x,007\n+4.5,,y,7\n1e0,",",x,é\n', "order.csv"),
        ("user_id\titem_id\trating\n007\tx\t 3\n7\ty\t4.50 \né\tx\t1.\n", "tabs.tsv"),
        ("user_id,item_id,rating\n\n007,x,3\n7,y,4.5\n\n\né,x,1\n\n", "blank-lines.csv"),
        ("user_id,item_id,rating,note\n007,x,3,\n7,y,4.5,\né,x,1,\n,,,\n", "spreadsheet.csv"),
    ],
)
def test_the_same_rows_written_in_other_ways_have_the_same_fingerprint(
    text: str, name: str, tmp_path: Path
) -> None:
    ratings = load_text(tmp_path, text, name=name)
    assert rows_of(ratings) == ROWS
    assert (
        ratings.fingerprint
        == load_text(tmp_path, "user_id,item_id,rating\n007,x,3\n7,y,4.5\né,x,1\n").fingerprint
    )
    assert not ratings.skipped


def test_columns_are_named_and_may_have_any_name(tmp_path: Path) -> None:
    ratings = load_text(
        tmp_path,
        "Kunde,Größe,Sterne,Zeit,Titel\na,x,3,20,\na,y,4,,Ypsilon\nb,x,5,10.0,Ixe\nc,x,5,30,Anders\n",
        user_column="Kunde",
        item_column="Größe",
        rating_column="Sterne",
        timestamp_column="Zeit",
        title_column="Titel",
    )
    assert rows_of(ratings) == [("a", "x", 3.0), ("a", "y", 4.0), ("b", "x", 5.0), ("c", "x", 5.0)]
    assert ratings.item_titles is not None
    assert list(ratings.item_titles) == ["Ixe", "Ypsilon"]  # the first that is not empty
    assert ratings.period == (10, 30)


def test_a_title_that_is_no_utf8_costs_no_row(tmp_path: Path) -> None:
    ratings = load_text(
        tmp_path, b"user_id,item_id,rating,t\na,x,3,caf\xe9\na,y,4,\xc3\xa9\n", title_column="t"
    )
    assert ratings.item_titles is not None
    assert list(ratings.item_titles) == ["caf\ufffd", "é"]


def test_format_overrides_the_ending(tmp_path: Path) -> None:
    text = "user_id\titem_id\trating\na\tx\t3\na\ty\t4\n"
    assert len(load_text(tmp_path, text, name="data", format="tsv")) == 2
    with pytest.raises(InvalidArgument, match=r"set dataset\.file\.format") as caught:
        load_text(tmp_path, text, name="data.dat")
    assert caught.value.field == "dataset.file.format"


FIELD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
).filter(lambda text: len(text.encode()) <= 256)


@given(
    st.lists(
        st.tuples(FIELD, FIELD, st.floats(-100, 100, width=32)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[:2],
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_csv_gives_back_what_pythons_writer_wrote(
    rows: list[tuple[str, str, float]], line_end: str, quote_all: bool
) -> None:
    # Python's writer leaves a carriage return bare; readers take that for the end of a line.
    quote_all = quote_all or any("\r" in field for row in rows for field in row[:2])
    text = io.StringIO()
    writer = csv.writer(
        text, lineterminator=line_end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    )
    writer.writerow(["user_id", "item_id", "rating"])
    writer.writerows([(user, item, repr(rating)) for user, item, rating in rows])
    ratings = from_bytes(text.getvalue().encode())
    assert rows_of(ratings) == [(user, item, rating + 0.0) for user, item, rating in rows]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)), max_size=20),
    st.lists(
        st.sampled_from([b"1,2", b"1,2,3,4", b"\xff,2,3", b",2,3", b"1,,3", b"1,2,x", b"1,2,9", b""]),
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_skipping_counts_every_bad_row_and_keeps_every_good_one(
    good: list[tuple[int, int, int]], bad: list[bytes], random: Any
) -> None:
    good = list({row[:2]: row for row in good}.values())
    lines = [b"%d,%d,%d" % row for row in good] + bad
    random.shuffle(lines)
    file = b"user_id,item_id,rating\n" + b"\n".join([*lines, b"7,7,1"]) + b"\n"
    ratings = from_bytes(file, bad_rows="skip", scale=RatingScale(minimum=1, maximum=5))
    kept = {(user, item, rating) for user, item, rating in rows_of(ratings)}
    assert kept == {(str(u), str(i), float(r)) for u, i, r in [*good, (7, 7, 1)]}
    assert sum(ratings.skipped.values()) == len([line for line in bad if line])
    if any(bad):
        with pytest.raises(InvalidArgument) as caught:
            from_bytes(file, scale=RatingScale(minimum=1, maximum=5))
        first = next(number for number, line in enumerate(lines, 2) if line in bad and line)
        assert f"line {first}:" in caught.value.message


@given(st.binary(max_size=200), st.sampled_from(["fail", "skip"]), st.booleans())
def test_arbitrary_bytes_are_read_or_refused_in_one_sentence(data: bytes, policy: str, header: bool) -> None:
    file = b"user_id,item_id,rating\n" + data if header else data
    refusal = refused(lambda: from_bytes(file, bad_rows=policy))
    if refusal is not None:
        assert refusal.reason == "DATASET_INVALID"
        assert "\n" not in refusal.message


def from_bytes(data: bytes, dialect: Dialect = CSV, **policies: Any) -> Ratings:
    policies.setdefault("scale", RatingScale(minimum=-1e6, maximum=1e6))
    spec = DatasetSpec(source=UploadedDataset(upload_id="-"), **policies)
    return to_ratings(
        read_delimited(lambda: io.BytesIO(data), Columns(), dialect, source="x.csv"), spec, name="x.csv"
    )


def save(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "users",
    [
        pa.array(["7", "8", "é"]),
        pa.array(["7", "8", "é"], pa.large_string()),
        pa.array(["7", "8", "é"], pa.string_view()),
        pa.array(["7", "8", "é"]).dictionary_encode(),
        pa.array([b"7", b"8", "é".encode()], pa.binary()),
    ],
    ids=lambda array: str(array.type),
)
@pytest.mark.parametrize(
    "ratings",
    [
        pa.array([1, 2, 3], pa.int8()),
        pa.array([1, 2, 3], pa.uint64()),
        pa.array([1.0, 2.0, 3.0], pa.float32()),
        pa.array([1.0, 2.0, 3.0], pa.float64()),
        pa.array(["1", "2.0", "3e0"]),
        pa.array([1.0, 2.0, 3.0]).cast(pa.decimal128(5, 1)),
    ],
    ids=lambda array: str(array.type),
)
def test_parquet_of_many_types(users: Any, ratings: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "r.parquet", user_id=users, item_id=pa.array([1, 2, 1]), rating=ratings)
    assert rows_of(load_file(path)) == [("7", "1", 1.0), ("8", "2", 2.0), ("é", "1", 3.0)]


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.uint64(), pa.float64()])
def test_whole_numbers_become_their_decimal_form(kind: Any, tmp_path: Path) -> None:
    path = save(
        tmp_path / "r.parquet",
        user_id=pa.array([1, 20, 300], pa.int64()).cast(kind),
        item_id=pa.array([-1, 0, 2**52]),
        rating=pa.array([1, 2, 3]),
    )
    assert rows_of(load_file(path)) == [("1", "-1", 1.0), ("20", "0", 2.0), ("300", str(2**52), 3.0)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed on Linux only")
def test_a_parquet_file_is_closed_with_its_rows(tmp_path: Path) -> None:
    path = save(tmp_path / "r.parquet", user_id=["a"], item_id=["x"], rating=[1.0])

    def is_open() -> bool:
        return str(path.resolve()) in map(os.path.realpath, Path("/proc/self/fd").iterdir())

    with read_parquet(path, Columns(), source="r.parquet") as rows:
        assert rows.read("user").to_pylist() == ["a"]
        assert is_open()
    assert not is_open()


def test_a_column_is_read_again_once_however_many_bad_rows_are_named() -> None:
    text = b"user_id,item_id,rating\n" + b"".join(b"u%d,x,bad\n" % row for row in range(3)) + b"u,,3\n"
    rows = read_delimited(lambda: io.BytesIO(text), Columns(), CSV, source="x.csv")
    reads: list[str] = []

    def read(role: Role) -> Column:
        reads.append(role)
        return rows.read(role)

    spec = DatasetSpec(source=UploadedDataset(upload_id="-"))
    with pytest.raises(
        InvalidArgument, match=r"4 bad rows: line 2: rating 'bad' .* line 5: item_id is missing"
    ):
        to_ratings(replace(rows, read=read), spec, name="x.csv")
    assert Counter(reads) == {"user": 1, "item": 1, "rating": 2}


def test_a_frame_gives_the_same_as_csv_and_as_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b", "a"], "item_id": [1, 2, 2], "rating": [1.5, 2, 5]})
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame.to_csv(tmp_path / "f.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "f.parquet", row_group_size=1)
    assert len({load_file(tmp_path / f"f.{ending}").fingerprint for ending in ("csv", "tsv", "parquet")}) == 1


@pytest.mark.parametrize(
    ("times", "period"),
    [
        (pa.array([10, None, 5]), (5, 10)),
        (pa.array([10.0, np.nan, 5.0]), (5, 10)),
        (pa.array(["10", "", "5"]), (5, 10)),
        (pa.array([None, None, None], pa.int64()), None),
        (pa.array([dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)] * 3), (60, 60)),
    ],
)
def test_timestamps_give_the_period(times: Any, period: tuple[int, int] | None, tmp_path: Path) -> None:
    path = save(
        tmp_path / "r.pq",
        user_id=pa.array(["a", "b", "c"]),
        item_id=pa.array(["x"] * 3),
        rating=pa.array([1, 2, 3]),
        when=times,
    )
    assert load_file(path, timestamp_column="when").period == period


def test_an_upload_is_loaded_with_the_columns_it_has(tmp_path: Path) -> None:
    columns = {"user_id": ["a", "b"], "item_id": ["x", "y"], "rating": np.array([1, 2], np.float32)}
    spec = DatasetSpec(source=UploadedDataset(upload_id="u1"))
    save(tmp_path / "u1", **columns)
    ratings = load(spec, data_roots=[], uploads=tmp_path.joinpath)
    assert rows_of(ratings) == [("a", "x", 1.0), ("b", "y", 2.0)]
    assert (ratings.name, ratings.item_titles, ratings.period) == ("upload", None, None)
    save(tmp_path / "u1", **columns, timestamp=[3, None], title=["X", None])
    ratings = load(spec, data_roots=[], uploads=tmp_path.joinpath)
    assert ratings.item_titles is not None
    assert list(ratings.item_titles) == ["X", ""]
    assert ratings.period == (3, 3)


def test_a_missing_or_forbidden_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_file(tmp_path / "none.csv")
    with pytest.raises(PermissionDenied):
        load_file(tmp_path / "none.csv", roots=[tmp_path / "sub"])


def test_no_uploads_is_what_it_says() -> None:
    with pytest.raises(AssertionError):
        no_uploads("u")
