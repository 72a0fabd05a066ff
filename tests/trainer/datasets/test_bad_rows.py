"""Every way in which a file or a row can be wrong, and what is then said or counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import RatingScale

from .samples import load_file, load_text, refused, rows_of

FIVE_STARS = RatingScale(minimum=1, maximum=5)
HEADER = b"user_id,item_id,rating,when\n"
LONG = b"x" * 257

BAD_LINES = [
    (b",x,3,1", "missing_field", "user_id is missing"),
    (b"a,,3,1", "missing_field", "item_id is missing"),
    (b"a,x,,1", "missing_field", "rating is missing"),
    (b"a,x", "field_count", "2 fields where the header has 4"),
    (b"a,x,3,1,9", "field_count", "5 fields where the header has 4"),
    (b"\xff,x", "field_count", "2 fields where the header has 4"),
    (b"a,x,three,1", "not_a_number", "rating 'three' is not a number"),
    (b"a,x,nan,1", "not_a_number", "rating 'nan' is not a number"),
    (b"a,x,inf,1", "not_a_number", "rating 'inf' is not a number"),
    (b"a,x,-Infinity,1", "not_a_number", "rating '-Infinity' is not a number"),
    (b"a,x,1e999,1", "not_a_number", "rating '1e999' is not a number"),
    (b"a,x,1e39,1", "not_a_number", "rating '1e39' is not a number"),  # no float32
    (b"a,x,1_0,1", "not_a_number", "rating '1_0' is not a number"),
    (b"a,x,0x3,1", "not_a_number", "rating '0x3' is not a number"),
    (b'a,x,"3,5",1', "not_a_number", "rating '3,5' is not a number"),
    (b"a,x,\xd9\xa3,1", "not_a_number", "is not a number"),  # an Arabic three
    (b"a,x," + b"9" * 100 + b"z,1", "not_a_number", "rating '" + "9" * 39 + "…' is not a number"),
    (b"a,x,5.01,1", "outside_scale", "rating '5.01' is outside the scale from 1 to 5"),
    (b"a,x,-3,1", "outside_scale", "rating '-3' is outside the scale from 1 to 5"),
    (b"a," + LONG + b",3,1", "id_too_long", "is longer than 256 bytes"),
    ("é".encode() * 129 + b",x,3,1", "id_too_long", "is longer than 256 bytes"),
    (b"caf\xe9,x,3,1", "not_utf8", "user_id 'caf\ufffd' is no UTF-8 text"),
    (b"a,x,3,monday", "bad_timestamp", "when 'monday' is not a number of seconds"),
]


@pytest.mark.parametrize(("line", "reason", "message"), BAD_LINES, ids=lambda value: str(value)[:30])
def test_a_bad_line_is_named_or_counted(line: bytes, reason: str, message: str, tmp_path: Path) -> None:
    text = HEADER + b"a,x,3,1\nb,x,4,2\n" + line + b"\nc,x,5,3\n"
    options: dict[str, Any] = {"scale": FIVE_STARS, "timestamp_column": "when"}
    with pytest.raises(InvalidArgument) as caught:
        load_text(tmp_path, text, **options)
    assert caught.value.reason == "DATASET_INVALID"
    assert caught.value.message.startswith("ratings.csv has 1 bad row: line 4: ")
    assert message in caught.value.message
    assert caught.value.message.endswith('Correct the file, or set dataset.bad_rows to "skip".')
    assert caught.value.metadata == {"bad_rows": "1"}
    skipping = load_text(tmp_path, text, bad_rows="skip", **options)
    assert skipping.skipped == {reason: 1}
    assert rows_of(skipping) == [("a", "x", 3.0), ("b", "x", 4.0), ("c", "x", 5.0)]


def test_ids_of_256_bytes_are_fine(tmp_path: Path) -> None:
    ratings = load_text(tmp_path, HEADER + "é".encode() * 128 + b"," + LONG[:256] + b",3,\na,x,1,\n")
    assert len(ratings) == 2


def test_the_first_five_are_named_and_the_others_counted(tmp_path: Path) -> None:
    lines = [f"u{n},x,{'bad' if n % 2 else 3},1" for n in range(4000)]
    lines[6] = "u6"
    text = HEADER + "\n".join(lines).encode()
    with pytest.raises(InvalidArgument) as caught:
        load_text(tmp_path, text)
    message = caught.value.message
    assert "2,001 bad rows" in message
    assert [place for place in range(2, 20) if f"line {place}:" in message] == [3, 5, 7, 8, 9]
    assert "and 1,996 more" in message
    assert load_text(tmp_path, text, bad_rows="skip", scale=FIVE_STARS).skipped == {
        "not_a_number": 2000,
        "field_count": 1,
    }


def test_lines_are_counted_through_fields_with_newlines_and_through_blank_lines(tmp_path: Path) -> None:
    text = (
        'user_id,item_id,rating,"a\nname"\n'  # lines 1 and 2
        'a,x,3,"one\ntwo\nthree"\n'  # 3 to 5
        "\n"  # 6
        "b,x\n"  # 7
        '"c\n""d""",x,bad,\n'  # 8 and 9
        "e,x,4,\n"  # 10
        "f,x,bad,\n"  # 11
    )
    with pytest.raises(InvalidArgument) as caught:
        load_text(tmp_path, text)
    assert [place for place in range(1, 13) if f"line {place}:" in caught.value.message] == [7, 8, 11]


@pytest.mark.parametrize("policy", ["fail", "skip"])
@pytest.mark.parametrize(
    "text",
    [
        'user_id,item_id,rating,title\na,x,3,"open\nb,x,4,\nc,x,5,\n',
        'user_id,item_id,rating,title\na,"x,3,\nb,x,4,\nc,x,5,\n',
    ],
)
def test_a_quote_that_is_never_closed_does_not_swallow_rows(text: str, policy: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="never closed, in the row that begins on line 2"):
        load_text(tmp_path, text, bad_rows=policy, title_column="title")


@pytest.mark.parametrize("policy", ["fail", "skip"])
@pytest.mark.parametrize(
    "text",
    [
        'user_id,item_id,rating\na,"x,3\nb,x,4\nc,"x,5\nd,x,1\n',
        'user_id,item_id,rating\na,"x\nb,x,4\nc",x,3,5\nd,x,1,"\n',
        'user_id,item_id,rating,unread\na,x,3,"open\nb,x,4,"done"\nc,x,5,\n',
    ],
)
def test_a_quote_that_takes_whole_rows_into_a_field_is_refused(
    text: str, policy: str, tmp_path: Path
) -> None:
    with pytest.raises(
        InvalidArgument, match="out of place, or never closed, in the row that begins on line"
    ):
        load_text(tmp_path, text, bad_rows=policy)


@pytest.mark.parametrize("policy", ["fail", "skip"])
@pytest.mark.parametrize("row", ['c,x,"3', 'c,"x,3', '"c,x,3'])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_file_that_was_cut_off_within_quotes_is_refused(
    row: str, end: str, policy: str, tmp_path: Path
) -> None:
    text = f"user_id,item_id,rating\na,x,3\nb,y,4\n{row}{end}"
    with pytest.raises(InvalidArgument, match="never closed, in the row that begins on line 4"):
        load_text(tmp_path, text, bad_rows=policy)


def test_a_bad_row_that_spans_lines_on_purpose_can_be_skipped(tmp_path: Path) -> None:
    ratings = load_text(tmp_path, 'user_id,item_id,rating\na,x,3\nb,"x\ny"\nc,x,4\n', bad_rows="skip")
    assert (len(ratings), ratings.skipped) == (2, {"field_count": 1})


def test_a_quote_inside_a_field_is_a_character(tmp_path: Path) -> None:
    ratings = load_text(tmp_path, 'user_id,item_id,rating\na,5" disk,3\nb,x,4\n')
    assert rows_of(ratings)[0] == ("a", '5" disk', 3.0)


BAD_FILES = [
    (b"", "is empty"),
    (b"user_id,item_id,rating", "has a header line and no rows"),
    (b"user_id,item_id,rating\n", "has a header line and no rows"),
    (b"user_id,item_id,rating\n\n\n", "has no row that can be used"),
    (b"\nuser_id,item_id,rating\n1,2,3\n", "begins with an empty line"),
    (b"\xff\xfeu\0s\0e\0r\0", "no UTF-8"),
    (
        b"user_id,item_id,stars\n1,2,3\n",
        "no column 'rating' for the rating; it has 'user_id', 'item_id', 'stars'",
    ),
    (b"1,2,3\n4,5,6\n", "no column 'user_id'"),
    (b"user_id,item_id,rating,rating\n1,2,3,4\n", "has 2 columns called 'rating'"),
    (b"user_id,item_id,rating\n1,2,3\n1,3,3\n", "every rating of ratings.csv is 3"),
    (b'user_id,item_id,rating\n"' + b"x" * (20 << 20) + b'",2,3\n', "longer than 8 MiB"),
    (b"x" * 200_000, "does not begin with a header line"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES, ids=[message for _, message in BAD_FILES])
def test_a_bad_file_is_refused_with_its_name(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_text(tmp_path, content)
    assert message in caught.value.message
    assert "ratings.csv" in caught.value.message
    assert caught.value.reason == "DATASET_INVALID"


@pytest.mark.parametrize("role", ["user", "item", "rating", "timestamp", "title"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_missing_column_names_the_field_to_correct(role: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"r.{ending}"
    if ending == "csv":
        path.write_text("user_id,item_id,rating\na,b,1\n")
    else:
        parquet.write_table(pa.table({"user_id": ["a"], "item_id": ["b"], "rating": [1]}), path)
    with pytest.raises(InvalidArgument, match="'nowhere'") as caught:
        load_file(path, roots=[tmp_path], **{f"{role}_column": "nowhere"})
    assert caught.value.field == f"dataset.file.{role}_column"


def test_one_rating_or_equal_ratings_train_once_the_scale_is_known(tmp_path: Path) -> None:
    text = "user_id,item_id,rating\na,x,3\n"
    with pytest.raises(InvalidArgument, match=r"set dataset\.scale") as caught:
        load_text(tmp_path, text)
    assert caught.value.field == "dataset.scale"
    assert rows_of(load_text(tmp_path, text, scale=FIVE_STARS)) == [("a", "x", 3.0)]


DUPLICATES = "user_id,item_id,rating\na,x,1\na,y,2\na,x,4\nb,x,3\na,x,5\nb,x,1\n"


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        ("first", [("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0)]),
        ("last", [("a", "y", 2.0), ("a", "x", 5.0), ("b", "x", 1.0)]),
        ("mean", [("a", "x", float(np.float32(10 / 3))), ("a", "y", 2.0), ("b", "x", 2.0)]),
    ],
)
def test_duplicates_are_settled_and_counted(
    policy: str, rows: list[tuple[str, str, float]], tmp_path: Path
) -> None:
    ratings = load_text(tmp_path, DUPLICATES, duplicates=policy)
    assert rows_of(ratings) == rows
    assert ratings.skipped == {"duplicate": 3}


def test_duplicates_fail_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgument, match="line 4 rates the same item for the same user as line 2"
    ) as caught:
        load_text(tmp_path, DUPLICATES, duplicates="fail")
    assert caught.value.field == "dataset.duplicates"


def test_a_bad_row_is_no_duplicate(tmp_path: Path) -> None:
    text = "user_id,item_id,rating\na,x,1\na,x,bad\na,y,2\n"
    ratings = load_text(tmp_path, text, bad_rows="skip", duplicates="fail")
    assert rows_of(ratings) == [("a", "x", 1.0), ("a", "y", 2.0)]


def save(path: Path, **columns: Any) -> Path:
    whole = {"user_id": ["a", "b", "c"], "item_id": ["x", "y", "z"], "rating": [1.0, 2.0, 3.0], **columns}
    parquet.write_table(pa.table(whole), path)
    return path


@pytest.mark.parametrize(
    ("columns", "reason", "message"),
    [
        ({"user_id": ["a", None, "c"]}, "missing_field", "row 2: user_id is missing"),
        ({"user_id": pa.array([1.0, np.nan, 3.0])}, "missing_field", "row 2: user_id is missing"),
        ({"item_id": pa.array([1.0, 2.5, 3.0])}, "id_not_whole", "row 2: item_id 2.5 is not a whole number"),
        (
            {"item_id": pa.array([1.0, np.inf, 3.0])},
            "id_not_whole",
            "row 2: item_id inf is not a whole number",
        ),
        ({"item_id": pa.array([1.0, 2.0**53, 3.0])}, "id_not_whole", "is not a whole number below 2**53"),
        (
            {"user_id": pa.array([b"a", b"\xff", b"c"])},
            "not_utf8",
            "row 2: user_id '\ufffd' is no UTF-8 text",
        ),
        ({"rating": [1.0, None, 3.0]}, "missing_field", "row 2: rating is missing"),
        ({"rating": pa.array([1.0, np.nan, 3.0])}, "missing_field", "row 2: rating is missing"),
        ({"rating": pa.array([1.0, np.inf, 3.0])}, "not_a_number", "row 2: rating inf is not a number"),
        (
            {"rating": pa.array([1, 9, 3])},
            "outside_scale",
            "row 2: rating 9 is outside the scale from 1 to 5",
        ),
    ],
)
def test_a_bad_parquet_row_is_named_or_counted(
    columns: dict[str, Any], reason: str, message: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "r.parquet", **columns)
    with pytest.raises(InvalidArgument) as caught:
        load_file(path, scale=FIVE_STARS)
    assert message in caught.value.message
    ratings = load_file(path, scale=FIVE_STARS, bad_rows="skip")
    assert ratings.skipped == {reason: 1}
    assert len(ratings) == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": pa.array([True, False, True])}, "ids of type bool in column 'user_id'"),
        ({"item_id": pa.array([[1], [2], [3]])}, "ids of type list"),
        ({"rating": pa.array([True, False, True])}, "values of type bool in column 'rating'"),
    ],
)
def test_a_column_of_another_type_is_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_file(save(tmp_path / "r.parquet", **columns))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"user_id,item_id,rating\na,b,1\n", b"PAR1" + b"\0" * 100 + b"PAR1"]
)
def test_what_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_bytes(content)
    with pytest.raises(InvalidArgument) as caught:
        load_file(tmp_path / "r.parquet")
    assert caught.value.reason == "DATASET_INVALID"


def test_a_parquet_file_cut_short_or_with_flipped_bytes_never_escapes(tmp_path: Path) -> None:
    content = save(tmp_path / "whole.parquet").read_bytes()
    damaged = tmp_path / "r.parquet"
    for place in range(0, len(content), 7):
        for wrong in (
            content[:place],
            content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :],
        ):
            damaged.write_bytes(wrong)
            refusal = refused(lambda: load_file(damaged, scale=FIVE_STARS))
            assert refusal is None or refusal.reason == "DATASET_INVALID"
