"""Reads the MovieLens data sets in the forms in which they are given out.

Each reader takes an unpacked folder or a place inside a zip file (``zipfile.Path``), and gives the rows in the
order of the file and the titles by item id. The data is GroupLens' (F. M. Harper and J. A. Konstan, "The
MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015) and may not be passed on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib.resources.abc import Traversable
from typing import BinaryIO, cast

from mfserve_trainer.datasets.delimited import CSV, Dialect, read_delimited
from mfserve_trainer.datasets.raw import Columns, RawRows

Loaded = tuple[RawRows, dict[str, str]]
Reader = Callable[[Traversable], Loaded]

_COLUMNS = Columns(user="user", item="item", rating="rating", timestamp="timestamp")
# RecBole spells the one film of ML-100K that has no title so, in both columns.
_RECBOLE_UNKNOWN = "unkonwn"


def read_100k(folder: Traversable) -> Loaded:
    """ml-100k as GroupLens packs it: u.data with tabs and no header, u.item with bars, in Latin-1."""
    dialect = Dialect(delimiter="\t", quoted=False, header=("user", "item", "rating", "timestamp"))
    rows = _rows(folder, "u.data", _COLUMNS, dialect)
    lines = (folder / "u.item").read_text(encoding="latin-1").splitlines()
    return rows, {item: title.strip() for item, title, *_ in (line.split("|") for line in lines if line)}


def read_100k_recbole(folder: Traversable) -> Loaded:
    """ml-100k as RecBole packs it: tabs, headers with types; the rows are u.data's, in u.data's order.

    Title and year are apart there; u.item's "Toy Story (1995)" is put together again.
    """
    dialect = Dialect(delimiter="\t", quoted=False)
    columns = Columns("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    rows = _rows(folder, "ml-100k.inter", columns, dialect)
    lines = (folder / "ml-100k.item").read_text(encoding="utf-8").splitlines()
    films = (line.split("\t") for line in lines[1:] if line)
    return rows, {item: _with_year(title, year) for item, title, year, *_ in films}


def read_1m(folder: Traversable) -> Loaded:
    """ml-1m: fields between double colons, no header, titles in Latin-1."""
    # To a reader of single characters, a double colon is two delimiters with an empty field between.
    header = ("user", "_1", "item", "_2", "rating", "_3", "timestamp")
    rows = _rows(folder, "ratings.dat", _COLUMNS, Dialect(delimiter=":", quoted=False, header=header))
    lines = (folder / "movies.dat").read_text(encoding="latin-1").splitlines()
    return rows, {item: title.strip() for item, title, *_ in (line.split("::") for line in lines if line)}


def read_csv(folder: Traversable) -> Loaded:
    """ml-latest-small, ml-20m and ml-25m: ratings.csv and movies.csv with headers, in UTF-8."""
    rows = _rows(folder, "ratings.csv", Columns("userId", "movieId", "rating", "timestamp"), CSV)
    with _open(folder, "movies.csv") as file:
        films = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
        return rows, {film["movieId"]: film["title"].strip() for film in films}


def _with_year(title: str, year: str) -> str:
    if title == _RECBOLE_UNKNOWN:
        return "unknown"
    return f"{title} ({year})"


def _rows(folder: Traversable, name: str, columns: Columns, dialect: Dialect) -> RawRows:
    return read_delimited(lambda: _open(folder, name), columns, dialect, source=name)


def _open(folder: Traversable, name: str) -> BinaryIO:
    return cast("BinaryIO", (folder / name).open("rb"))
