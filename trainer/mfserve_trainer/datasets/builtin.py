"""The data sets that the trainer fetches by itself: facts, where they come from, and their readers."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from mfserve_registry.spec import BUILTIN_DATASETS, RatingScale
from mfserve_trainer.datasets import movielens, recbole
from mfserve_trainer.datasets.download import Progress, RemoteFile, Unavailable, download, is_valid

_SITE = "https://files.grouplens.org/datasets/movielens/"
# The site may be out of reach while a package index is not; then it should not take long to find out.
_PATIENCE_WITH_FALLBACK = 5.0
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Builtin:
    """A public data set.

    Attributes:
        name: as in a ``BuiltinDataset``.
        archive: the official zip file.
        folder: the folder inside it.
        ratings: rows.
        users: users who rated.
        items: items that were rated.
        scale: the ratings' closed interval.
        licence_url: the conditions of use.
        read: reads the folder.
    """

    name: str
    archive: RemoteFile
    folder: str
    ratings: int
    users: int
    items: int
    scale: RatingScale
    licence_url: str
    read: movielens.Reader


def _movielens(
    part: str,
    *,
    size: int,
    sha256: str,
    counts: tuple[int, int, int],
    lowest: float,
    readme: str,
    read: movielens.Reader,
) -> Builtin:
    folder = f"ml-{part}"
    ratings, users, items = counts
    return Builtin(
        name=f"movielens-{part}",
        archive=RemoteFile(f"{folder}.zip", f"{_SITE}{folder}.zip", size, sha256),
        folder=folder,
        ratings=ratings,
        users=users,
        items=items,
        scale=RatingScale(minimum=lowest, maximum=5),
        licence_url=f"{_SITE}{folder}-README.{readme}",
        read=read,
    )


# Sizes and checksums are those that tensorflow/datasets lists; the counts are the README files'.
_ALL = (
    _movielens(
        "100k",
        size=4_924_029,
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        counts=(100_000, 943, 1_682),
        lowest=1,
        readme="txt",
        read=movielens.read_100k,
    ),
    _movielens(
        "1m",
        size=5_917_549,
        sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        counts=(1_000_209, 6_040, 3_706),
        lowest=1,
        readme="txt",
        read=movielens.read_1m,
    ),
    _movielens(
        "latest-small",
        size=978_202,
        sha256="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        counts=(100_836, 610, 9_724),
        lowest=0.5,
        readme="html",
        read=movielens.read_csv,
    ),
    _movielens(
        "20m",
        size=198_702_078,
        sha256="96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        counts=(20_000_263, 138_493, 26_744),
        lowest=0.5,
        readme="html",
        read=movielens.read_csv,
    ),
    _movielens(
        "25m",
        size=261_978_986,
        sha256="8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
        counts=(25_000_095, 162_541, 59_047),
        lowest=0.5,
        readme="html",
        read=movielens.read_csv,
    ),
)
BUILTINS = {dataset.name: dataset for dataset in _ALL}
assert tuple(BUILTINS) == BUILTIN_DATASETS  # noqa: S101 - the specification's names and these are one list


def is_cached(dataset: Builtin, folder: Path) -> bool:
    """Whether it can be loaded without network."""
    if is_valid(folder / dataset.archive.name, dataset.archive):
        return True
    return _has_fallback(dataset) and is_valid(folder / recbole.WHEEL.name, recbole.WHEEL)


def fetch_archive(dataset: Builtin, folder: Path, *, progress: Progress) -> Path:
    """The data set's archive in the cache folder: the official zip file, or for ML-100K RecBole's wheel.

    Raises:
        Unavailable: it is not cached and cannot be fetched; says which file to put where by hand.
    """
    archive = dataset.archive
    wheel = folder / recbole.WHEEL.name
    if _has_fallback(dataset) and not (folder / archive.name).exists() and is_valid(wheel, recbole.WHEEL):
        return wheel
    patience = _PATIENCE_WITH_FALLBACK if _has_fallback(dataset) else _PATIENCE
    try:
        return download(archive, folder, progress=progress, timeout=patience)
    except Unavailable as error:
        causes = [error.message]
    if _has_fallback(dataset):
        progress(f"{causes[0].rstrip('.')}; taking it out of RecBole's wheel instead", 0, 0)
        try:
            return recbole.fetch_wheel(folder, progress=progress)
        except Unavailable as error:
            causes.append(error.message)
    why = "; ".join(
        cause.rstrip(".") for cause in dict.fromkeys(causes)
    )  # one folder may be at fault for both
    raise Unavailable(
        f"{dataset.name} is not in the cache and cannot be fetched: {why}. Get {archive.url} in another way "
        f"and put it at {folder / archive.name}",
        metadata={"dataset": dataset.name},
    )


def read_archive(dataset: Builtin, archive: Path) -> movielens.Loaded:
    """Rows and titles out of what ``fetch_archive`` gave."""
    if archive.name == recbole.WHEEL.name:
        return movielens.read_100k_recbole(zipfile.Path(archive, "recbole/dataset_example/ml-100k/"))
    return dataset.read(zipfile.Path(archive, f"{dataset.folder}/"))


def _has_fallback(dataset: Builtin) -> bool:
    return dataset.name == "movielens-100k"
