"""Opens a snapshot: every array memory-mapped read-only, so that all workers of a machine share one copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import npy
from mfserve_registry.snapshot.content import (
    Floats,
    ItemIndex,
    Posterior,
    RankingHead,
    RatedItems,
    RatingHead,
)
from mfserve_registry.snapshot.ids import IdTable, StringTable
from mfserve_registry.snapshot.layout import layout
from mfserve_registry.snapshot.manifest import FILE_NAME, FORMAT, ArrayEntry, Manifest, digest_of
from mfserve_registry.snapshot.soundness import check_finite, check_indices
from mfserve_registry.spec import RatingScale


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open snapshot. Immutable: its arrays cannot be written through.

    Attributes:
        digest: SHA-256 of the manifest, 64 hex digits.
        manifest: everything that is not an array; ``manifest.facts`` says how it was trained.
        users, items: ids by index, and indices by id.
        titles: one per item ("" where unknown), or None where the data has none.
        scale, mean_rating, user_means, item_means, item_counts, rated, rating, ranking: as in SnapshotContent.
        size_bytes: all files together.
    """

    digest: str
    manifest: Manifest
    users: IdTable
    items: IdTable
    titles: StringTable | None
    scale: RatingScale | None
    mean_rating: float | None
    user_means: Floats | None
    item_means: Floats | None
    item_counts: NDArray[np.int32]
    rated: RatedItems
    rating: RatingHead | None
    ranking: RankingHead | None
    size_bytes: int

    @property
    def default_head(self) -> RankingHead | RatingHead:
        """The ranking head, or where there is none, the rating head."""
        head = self.ranking or self.rating
        if head is None:  # the manifest's own check
            raise DamagedSnapshot(f"Snapshot {self.digest} has no head.")
        return head

    @staticmethod
    def open(directory: Path, digest: str, *, verify: bool = True) -> Snapshot:
        """Opens the snapshot in ``directory``.

        Args:
            directory: the snapshot's folder.
            digest: what the manifest must hash to; always checked.
            verify: whether to check every file's SHA-256, and every number in them, too: indices point where they
                may, the others are finite. Without it (after a parent process has verified) sizes, dtypes and shapes
                are still checked.

        Raises:
            DamagedSnapshot: with reason SNAPSHOT_MISSING (no such folder), SNAPSHOT_TOO_NEW (a format that this
                version cannot read) or SNAPSHOT_DAMAGED. The message names the file and what is wrong with it.
            UnsoundSnapshot: one of them, where the bytes are the writer's and the numbers impossible.
        """
        manifest, size = _read_manifest(directory, digest)
        arrays = {
            name: _map_array(directory, entry, verify=verify)
            for name, entry in sorted(manifest.arrays.items())
        }
        snapshot = _assemble(digest, manifest, arrays, size + sum(e.bytes for e in manifest.arrays.values()))
        if verify:
            check_indices(arrays, users=manifest.users, items=manifest.items)
            check_finite(arrays)
        return snapshot


def verify_snapshot(directory: Path, digest: str) -> None:
    """Checks the digest of the manifest and the size and SHA-256 of every file; DamagedSnapshot as in ``open``."""
    manifest, _ = _read_manifest(directory, digest)
    for entry in manifest.arrays.values():
        _map_array(directory, entry, verify=True)


def _read_manifest(directory: Path, digest: str) -> tuple[Manifest, int]:
    if not directory.is_dir():
        raise DamagedSnapshot(f"Snapshot {digest} is not in the store.", reason="SNAPSHOT_MISSING")
    try:
        data = (directory / FILE_NAME).read_bytes()
    except OSError as error:
        raise _unreadable(FILE_NAME, error) from error
    if digest_of(data) != digest:
        raise DamagedSnapshot(f"{FILE_NAME} is damaged: its SHA-256 is not the snapshot's digest {digest}.")
    # The bytes are what the digest names; from here on an error is the writer's, not the disk's.
    document = _parse(data)
    _check_format(document)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        # A rule that spans fields names no place: it is of the heads.
        where = ".".join(map(str, error.errors()[0]["loc"])) or "rating"
        raise DamagedSnapshot(f"{FILE_NAME} does not follow format {FORMAT} at '{where}'.") from error
    _check_layout(manifest)
    return manifest, len(data)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedSnapshot(f"{FILE_NAME} is not JSON.") from error
    if not isinstance(document, dict):
        raise DamagedSnapshot(f"{FILE_NAME} is not a JSON object.")
    return document


def _check_format(document: Mapping[str, Any]) -> None:
    number = document.get("format")
    if type(number) is not int or number < 1:  # True would pass for 1
        raise DamagedSnapshot(f"{FILE_NAME} has no format number.")
    if number > FORMAT:
        raise DamagedSnapshot(
            f"The snapshot has format {number}; this mfserve reads up to {FORMAT}. Install a newer mfserve.",
            reason="SNAPSHOT_TOO_NEW",
        )


def _check_layout(manifest: Manifest) -> None:
    """The manifest must list exactly the arrays of the format, each in the file of its own name.

    A file name is compared, never joined and resolved: no manifest can reach outside its folder.
    """
    expected = layout(
        users=manifest.users,
        items=manifest.items,
        titles=manifest.titles,
        rating=manifest.rating,
        ranking=manifest.ranking,
    )
    if odd := sorted(expected.keys() ^ manifest.arrays.keys()):
        raise DamagedSnapshot(
            f"{FILE_NAME} does not list the arrays of its format; differing: {', '.join(odd)}."
        )
    for name, spec in expected.items():
        entry = manifest.arrays[name]
        if entry.file != f"{name}.npy":
            raise DamagedSnapshot(f"{FILE_NAME} names a wrong file for {name}: it must be {name}.npy.")
        if not spec.allows(entry.dtype, entry.shape):
            raise DamagedSnapshot(f"{FILE_NAME} gives {name} a wrong dtype or shape.")
        if entry.bytes != npy.file_size(entry.dtype, entry.shape):
            raise DamagedSnapshot(f"{FILE_NAME} gives {name} a wrong size.")


def _map_array(directory: Path, entry: ArrayEntry, *, verify: bool) -> NDArray[Any]:
    try:
        with (directory / entry.file).open("rb") as file:
            array = npy.map_read_only(file, entry.dtype, entry.shape)
            file.seek(0)
            if verify and file_digest(file, "sha256").hexdigest() != entry.sha256:
                raise DamagedSnapshot(f"{entry.file} is damaged: its SHA-256 is not the manifest's.")
            return array
    except OSError as error:
        raise _unreadable(entry.file, error) from error
    except ValueError as error:
        raise DamagedSnapshot(f"{entry.file} is damaged: {error}.") from error


def _unreadable(file: str, error: OSError) -> DamagedSnapshot:
    if isinstance(error, FileNotFoundError):
        return DamagedSnapshot(f"{file} is missing.")
    return DamagedSnapshot(f"{file} cannot be read ({error.strerror}).")


def _assemble(digest: str, manifest: Manifest, arrays: Mapping[str, NDArray[Any]], size: int) -> Snapshot:
    rating, ranking = manifest.rating, manifest.ranking
    return Snapshot(
        digest=digest,
        manifest=manifest,
        users=IdTable(arrays["user_id_bytes"], arrays["user_id_offsets"], arrays["user_id_slots"]),
        items=IdTable(arrays["item_id_bytes"], arrays["item_id_offsets"], arrays["item_id_slots"]),
        titles=StringTable(arrays["item_title_bytes"], arrays["item_title_offsets"])
        if manifest.titles
        else None,
        scale=manifest.scale,
        mean_rating=manifest.mean_rating,
        user_means=arrays.get("user_means"),
        item_means=arrays.get("item_means"),
        item_counts=arrays["item_counts"],
        rated=RatedItems(arrays["rated_indptr"], arrays["rated_indices"]),
        rating=None
        if rating is None
        else RatingHead(
            intercept=rating.intercept,
            user_biases=arrays["rating_user_biases"],
            item_biases=arrays["rating_item_biases"],
            user_factors=arrays["rating_user_factors"],
            item_factors=arrays["rating_item_factors"],
            regularization=rating.regularization,
            folds_bias=rating.folds_bias,
            posterior=None
            if rating.posterior is None
            else Posterior(
                user_samples=arrays["rating_user_samples"],
                item_samples=arrays["rating_item_samples"],
                user_noise=arrays["rating_user_noise"],
                prior_mean=arrays["rating_prior_mean"],
                prior_precision=arrays["rating_prior_precision"],
            ),
        ),
        ranking=None
        if ranking is None
        else RankingHead(
            user_factors=arrays["ranking_user_factors"],
            item_factors=arrays["ranking_item_factors"],
            regularization=ranking.regularization,
            unobserved_weight=ranking.unobserved_weight,
            frequency_exponent=ranking.frequency_exponent,
            targets=ranking.targets,
            index=None
            if ranking.index is None
            else ItemIndex(arrays["ranking_index"], ranking.index.probes, ranking.index.recall),
        ),
        size_bytes=size,
    )
