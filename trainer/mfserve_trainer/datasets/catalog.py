"""Loads whatever a data set's specification names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, FileDataset, RatingScale
from mfserve_trainer.datasets.builtin import BUILTINS, fetch_archive, is_cached, read_archive
from mfserve_trainer.datasets.check import to_ratings
from mfserve_trainer.datasets.download import Progress, cache_folder, no_progress
from mfserve_trainer.datasets.files import load_file, load_upload
from mfserve_trainer.datasets.raw import release_unused
from mfserve_trainer.ratings import Ratings


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A built-in data set, for a list of them.

    Attributes:
        name: as in a ``BuiltinDataset``.
        ratings: rows.
        users: users who rated.
        items: items that were rated.
        scale: the ratings' closed interval.
        size_bytes: of the download.
        licence_url: the conditions of use.
        cached: whether it can be loaded without network.
    """

    name: str
    ratings: int
    users: int
    items: int
    scale: RatingScale
    size_bytes: int
    licence_url: str
    cached: bool


def load(
    spec: DatasetSpec,
    *,
    data_roots: Sequence[Path],
    uploads: Callable[[str], Path],
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Ratings:
    """Loads the ratings that a specification names, fetching a built-in data set where it is not cached.

    Args:
        spec: the source and the policies.
        data_roots: folders from which files may be read.
        uploads: the Parquet file of an upload id; may raise NotFound.
        cache: the cache folder; None: ``cache_folder()``.
        progress: told what is being fetched.

    Raises:
        PermissionDenied: PATH_NOT_ALLOWED.
        NotFound: FILE_NOT_FOUND, and what ``uploads`` raises.
        InvalidArgument: DATASET_INVALID.
        FailedPrecondition: DATASET_UNAVAILABLE.
    """
    source = spec.source
    if isinstance(source, BuiltinDataset):
        dataset = BUILTINS[source.name]
        archive = fetch_archive(dataset, _folder(cache), progress=progress)
        rows, titles = read_archive(dataset, archive)
        ratings = to_ratings(rows, spec, name=dataset.name, own_scale=dataset.scale, titles=titles)
    elif isinstance(source, FileDataset):
        ratings = load_file(source, spec, data_roots)
    else:
        ratings = load_upload(source.upload_id, uploads(source.upload_id), spec)
    release_unused()  # the file's columns; the fits can use the memory now
    return ratings


def list_builtin(*, cache: Path | None = None) -> list[DatasetFacts]:
    """Facts about the built-in data sets; reads the cached ones to verify them."""
    folder = _folder(cache)
    return [
        DatasetFacts(
            name=dataset.name,
            ratings=dataset.ratings,
            users=dataset.users,
            items=dataset.items,
            scale=dataset.scale,
            size_bytes=dataset.archive.size,
            licence_url=dataset.licence_url,
            cached=is_cached(dataset, folder),
        )
        for dataset in BUILTINS.values()
    ]


def fetch(name: str, *, cache: Path | None = None, progress: Progress = no_progress) -> Path:
    """Puts a built-in data set into the cache, and says where it lies.

    Raises:
        InvalidArgument: there is no data set of that name.
        FailedPrecondition: DATASET_UNAVAILABLE.
    """
    if name not in BUILTINS:
        raise InvalidArgument(
            f"there is no data set {name!r}; there are {', '.join(BUILTINS)}", field="dataset.builtin.name"
        )
    return fetch_archive(BUILTINS[name], _folder(cache), progress=progress)


def _folder(cache: Path | None) -> Path:
    return (cache or cache_folder()) / "datasets"
