"""Writes a snapshot: the same content gives the same bytes, whatever the layout of its arrays in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import npy
from mfserve_registry.snapshot.checks import (
    check_array,
    check_counts,
    check_heads,
    check_noise,
    check_rated,
    check_scalars,
    check_sizes,
    factors_of,
    samples_of,
)
from mfserve_registry.snapshot.content import ItemIndex, Posterior, RankingHead, RatingHead, SnapshotContent
from mfserve_registry.snapshot.ids import IdTable, StringTable
from mfserve_registry.snapshot.layout import layout
from mfserve_registry.snapshot.manifest import (
    FILE_NAME,
    FORMAT,
    ArrayEntry,
    IndexEntry,
    Manifest,
    PosteriorEntry,
    RankingEntry,
    RatingEntry,
    digest_of,
)
from mfserve_registry.store.durable import sync_folder, write_durably


def write_snapshot(directory: Path, content: SnapshotContent) -> str:
    """Writes ``content`` into ``directory`` (made if absent), each file and then the folder flushed to disk.

    Args:
        directory: an empty folder, from ``SnapshotStore.stage``. The manifest is written last.
        content: what to store; its arrays may have any memory layout.

    Returns:
        The snapshot's digest.

    Raises:
        InvalidArgument: the content is not what the format allows; nothing was written. ``field`` names the part.
        FileExistsError: one of the files is already there.
        OSError: the disk is full or failed; the folder holds an incomplete snapshot.
    """
    arrays = _checked_arrays(content)
    facts = _checked_facts(content)
    directory.mkdir(parents=True, exist_ok=True)
    entries = {name: _write_array(directory, name, array) for name, array in sorted(arrays.items())}
    data = _manifest(content, facts, entries).to_bytes()
    write_durably(directory / FILE_NAME, data)
    sync_folder(directory)
    return digest_of(data)


def _checked_arrays(content: SnapshotContent) -> dict[str, NDArray[Any]]:
    check_sizes(content)
    check_heads(content)
    check_scalars(content)
    arrays: dict[str, NDArray[Any]] = {
        "item_counts": content.item_counts,
        "rated_indptr": content.rated.indptr,
        "rated_indices": content.rated.indices,
    }
    if content.user_means is not None:
        arrays["user_means"] = content.user_means
    if content.item_means is not None:
        arrays["item_means"] = content.item_means
    if (rating := content.rating) is not None:
        arrays["rating_user_biases"] = rating.user_biases
        arrays["rating_item_biases"] = rating.item_biases
        arrays["rating_user_factors"] = rating.user_factors
        arrays["rating_item_factors"] = rating.item_factors
        if rating.posterior is not None:
            arrays |= _posterior_arrays(rating.posterior)
    if content.ranking is not None:
        arrays["ranking_user_factors"] = content.ranking.user_factors
        arrays["ranking_item_factors"] = content.ranking.item_factors
        if content.ranking.index is not None:
            arrays["ranking_index"] = content.ranking.index.data
    specs = layout(
        users=len(content.user_ids),
        items=len(content.item_ids),
        titles=content.item_titles is not None,
        rating=_rating_entry(content.rating),
        ranking=_ranking_entry(content.ranking),
    )
    for name, array in arrays.items():
        check_array(name, array, specs[name])
    if "rating_user_noise" in arrays:
        check_noise(arrays["rating_user_noise"])
    check_counts(content.item_counts)
    check_rated(content.rated, len(content.item_ids))
    return arrays | _tables(content)


def _tables(content: SnapshotContent) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for kind, ids in (("user", content.user_ids), ("item", content.item_ids)):
        table = IdTable.build(ids, field=f"{kind}_ids")
        arrays[f"{kind}_id_bytes"] = table.bytes_
        arrays[f"{kind}_id_offsets"] = table.offsets
        arrays[f"{kind}_id_slots"] = table.slots
    if content.item_titles is not None:
        titles = StringTable.build(content.item_titles, field="item_titles")
        arrays["item_title_bytes"] = titles.bytes_
        arrays["item_title_offsets"] = titles.offsets
    return arrays


def _checked_facts(content: SnapshotContent) -> dict[str, Any]:
    """The facts as a plain dict, proven to have a canonical form before any file is written."""
    facts = dict(content.facts)
    try:
        _manifest(content, facts, {}).to_bytes()
    except (ValidationError, ValueError, TypeError):
        raise InvalidArgument(
            "The snapshot's facts must be JSON: objects with string keys, lists, strings, finite numbers.",
            field="facts",
        ) from None
    return facts


def _manifest(content: SnapshotContent, facts: dict[str, Any], entries: dict[str, ArrayEntry]) -> Manifest:
    return Manifest(
        format=FORMAT,
        users=len(content.user_ids),
        items=len(content.item_ids),
        titles=content.item_titles is not None,
        scale=content.scale,
        mean_rating=None if content.mean_rating is None else float(content.mean_rating),
        rating=_rating_entry(content.rating),
        ranking=_ranking_entry(content.ranking),
        facts=facts,
        arrays=entries,
    )


def _rating_entry(head: RatingHead | None) -> RatingEntry | None:
    if head is None:
        return None
    return RatingEntry(
        factors=factors_of("rating_user_factors", head.user_factors),
        intercept=float(head.intercept),
        regularization=float(head.regularization),
        folds_bias=head.folds_bias,
        posterior=None if head.posterior is None else _posterior_entry(head.posterior),
    )


def _posterior_entry(posterior: Posterior) -> PosteriorEntry:
    samples, width = samples_of("rating_user_samples", posterior.user_samples)
    return PosteriorEntry(samples=samples, width=width)


def _posterior_arrays(posterior: Posterior) -> dict[str, NDArray[Any]]:
    return {
        "rating_user_samples": posterior.user_samples,
        "rating_item_samples": posterior.item_samples,
        "rating_user_noise": posterior.user_noise,
        "rating_prior_mean": posterior.prior_mean,
        "rating_prior_precision": posterior.prior_precision,
    }


def _ranking_entry(head: RankingHead | None) -> RankingEntry | None:
    if head is None:
        return None
    return RankingEntry(
        factors=factors_of("ranking_user_factors", head.user_factors),
        regularization=float(head.regularization),
        unobserved_weight=float(head.unobserved_weight),
        frequency_exponent=float(head.frequency_exponent),
        targets=tuple(map(float, head.targets)),
        index=None if head.index is None else _index_entry(head.index),
    )


def _index_entry(index: ItemIndex) -> IndexEntry:
    return IndexEntry(kind="faiss-ivf", probes=index.probes, recall=index.recall)


def _write_array(directory: Path, name: str, array: NDArray[Any]) -> ArrayEntry:
    file_name = f"{name}.npy"
    with (directory / file_name).open("xb") as file:
        sha256 = npy.write(file, array)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return ArrayEntry(
        file=file_name,
        dtype=array.dtype.str,  # type: ignore[arg-type]  # a plain str; pydantic checks it against the Literal
        shape=array.shape,
        bytes=size,
        sha256=sha256,
    )
