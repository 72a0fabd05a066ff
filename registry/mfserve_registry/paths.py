"""Which files a training may read: regular files under the data roots, wherever links and ``..`` lead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfserve_registry.errors import InvalidArgument, NotFound, PermissionDenied

_FIELD = "dataset.file.path"


def resolve_under_roots(path: str, roots: Sequence[Path]) -> Path:
    """The real place of a file that lies under one of the roots.

    Args:
        path: absolute, or relative to a root; of several roots, the first that has it counts.
        roots: folders from which trainings may read.

    Raises:
        PermissionDenied: PATH_NOT_ALLOWED: it leads out of every root, or there is none. Nothing outside the
            roots is looked at, so that the answer does not tell what exists there.
        NotFound: FILE_NOT_FOUND.
        InvalidArgument: DATASET_INVALID: a folder, a device, or no path at all.
    """
    if not roots:
        raise PermissionDenied(
            "No file may be read here: `mfserve serve` and `mfserve trainer` are told the allowed folders by "
            "--data-roots or MFSERVE_DATA_ROOTS.",
            reason="PATH_NOT_ALLOWED",
            field=_FIELD,
            metadata={"path": path},
        )
    real_roots = [root.resolve() for root in roots]
    allowed = [
        place
        for root in real_roots
        # Joining an absolute path to a root gives that path itself.
        if any(map((place := _real_place(root / path)).is_relative_to, real_roots))
    ]
    if not allowed:
        raise PermissionDenied(
            f"{path!r} is outside the folders from which trainings may read, where relative paths begin (--data-roots "
            "or MFSERVE_DATA_ROOTS of the server).",
            reason="PATH_NOT_ALLOWED",
            field=_FIELD,
            metadata={"path": path},
        )
    existing = [place for place in allowed if _exists(place)]
    if not existing:
        raise NotFound(
            f"There is no file {path!r} under the data roots{_where_it_was_looked_for(path)}.",
            reason="FILE_NOT_FOUND",
            field=_FIELD,
            metadata={"path": path},
        )
    if not existing[0].is_file():
        kind = "a folder" if existing[0].is_dir() else "not a regular file"
        raise InvalidArgument(
            f"{path!r} is {kind}; name one CSV, TSV or Parquet file", reason="DATASET_INVALID", field=_FIELD
        )
    return existing[0]


def _where_it_was_looked_for(path: str) -> str:
    return "" if Path(path).is_absolute() else ", where relative paths begin"


def _real_place(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle, a name that is too long
        raise _cannot_be_followed() from error
    except ValueError as error:  # a NUL character
        raise InvalidArgument(
            "The path has a character that no file name can have.", reason="DATASET_INVALID", field=_FIELD
        ) from error


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError as error:  # some systems notice a name that is too long only here
        raise _cannot_be_followed() from error


def _cannot_be_followed() -> InvalidArgument:
    return InvalidArgument(
        "The path cannot be followed: a link that leads to itself, or a name that is too long.",
        reason="DATASET_INVALID",
        field=_FIELD,
    )
