"""Small files in the official forms, and the short ways to load one."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import DatasetSpec, FileDataset
from mfserve_trainer.datasets import load
from mfserve_trainer.ratings import Ratings

REPOSITORY = Path(__file__).resolve().parents[3]
LATEST_SMALL = REPOSITORY.parent / "shared" / "data" / "ml-latest-small"

FilmRating = tuple[str, str, str, str]
FILM_RATINGS: list[FilmRating] = [
    ("196", "242", "3", "881250949"),
    ("186", "64", "4", "891717742"),
    ("22", "267", "1", "878887116"),
    ("196", "1412", "5", "880606923"),
    ("22", "543", "2", "878887117"),
]
FILM_TITLES = {
    "64": "Shawshank Redemption, The (1994)",
    "242": "Kolya (1996)",
    "267": "unknown",
    "543": "Misérables, Les (1995)",
    "1412": "Land Before Time III: The Time of the Great Giving (1995) (V)",
}


def write_100k(folder: Path) -> None:
    """ml-100k in GroupLens' form."""
    _write(folder / "u.data", "".join("\t".join(row) + "\n" for row in FILM_RATINGS))
    genres = "|0" * 19
    films = "".join(
        f"{item}|{title} |01-Jan-1995||http://us.imdb.com/M/title-exact?x{genres}\n"
        for item, title in FILM_TITLES.items()
    )
    _write(folder / "u.item", films, encoding="latin-1")


def write_100k_recbole(folder: Path) -> None:
    """ml-100k in RecBole's form."""
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    _write(folder / "ml-100k.inter", header + "".join("\t".join(row) + "\n" for row in FILM_RATINGS))
    films = [
        ("64", "Shawshank Redemption, The", "1994"),
        ("242", "Kolya", "1996"),
        ("267", "unkonwn", "unkonwn"),
        ("543", "Misérables, Les", "1995"),
        ("1412", "Land Before Time III: The Time of the Great Giving (1995)", "V"),
    ]
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    _write(folder / "ml-100k.item", header + "".join("\t".join((*film, "Drama")) + "\n" for film in films))


def write_1m(folder: Path) -> None:
    """ml-1m in GroupLens' form."""
    _write(folder / "ratings.dat", "".join("::".join(row) + "\n" for row in FILM_RATINGS))
    films = "".join(f"{item}::{title}::Drama|Comedy\n" for item, title in FILM_TITLES.items())
    _write(folder / "movies.dat", films, encoding="latin-1")


def write_latest(folder: Path) -> None:
    """ml-latest-small, ml-20m and ml-25m in GroupLens' form."""
    rows = "".join(
        ",".join((user, item, f"{rating}.0", time)) + "\n" for user, item, rating, time in FILM_RATINGS
    )
    _write(folder / "ratings.csv", "userId,movieId,rating,timestamp\n" + rows)
    films = "".join(f'{item},"{title}",Drama|Comedy\n' for item, title in FILM_TITLES.items())
    _write(folder / "movies.csv", "movieId,title,genres\n" + films)


def zip_folder(folder: Path, archive: Path) -> None:
    """Packs a folder as the official archives are packed: with its own name in front."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.mkdir(folder.name)
        for file in sorted(folder.iterdir()):
            target.write(file, f"{folder.name}/{file.name}")


def load_file(path: Path, *, roots: Sequence[Path] | None = None, **options: Any) -> Ratings:
    """Loads a file; options are those of FileDataset and of DatasetSpec."""
    policies = {
        name: options.pop(name) for name in ("bad_rows", "duplicates", "scale", "implicit") if name in options
    }
    spec = DatasetSpec(source=FileDataset(path=str(path), **options), **policies)
    return load(spec, data_roots=roots or [path.parent], uploads=no_uploads)


def load_text(folder: Path, text: str | bytes, *, name: str = "ratings.csv", **options: Any) -> Ratings:
    """Writes a file and loads it."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_file(path, **options)


def rows_of(ratings: Ratings) -> list[tuple[str, str, float]]:
    """(user, item, rating) in order."""
    users, items = ratings.user_ids[ratings.user_index], ratings.item_ids[ratings.item_index]
    return [
        (str(user), str(item), float(r)) for user, item, r in zip(users, items, ratings.rating, strict=True)
    ]


def refused(attempt: Callable[[], object]) -> InvalidArgument | None:
    """The error with which it is refused, or None; any other error is let through."""
    try:
        attempt()
    except InvalidArgument as error:
        return error
    return None


def no_uploads(upload_id: str) -> Path:
    """For data sets that are no upload."""
    raise AssertionError(upload_id)


def _write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
