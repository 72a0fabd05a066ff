"""Judges raw rows: bad rows are named or left out, duplicates settled, the scale found; then Ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import DatasetSpec, RatingScale
from mfserve_trainer import ratings
from mfserve_trainer.datasets.columns import (
    MAX_ID_BYTES,
    Fault,
    Faults,
    Ids,
    Numbers,
    read_ids,
    read_numbers,
    read_titles,
)
from mfserve_trainer.datasets.duplicates import settle_duplicates
from mfserve_trainer.datasets.raw import Malformed, RawRows, Role, invalid, release_unused, shorten

_Value = TypeVar("_Value", bound=np.generic)

_NAMED = 5
"""So many bad rows are named one by one; the others are counted."""


def to_ratings(
    raw: RawRows,
    spec: DatasetSpec,
    *,
    name: str,
    own_scale: RatingScale | None = None,
    titles: Mapping[str, str] | None = None,
) -> ratings.Ratings:
    """Applies the policies of a data set's specification.

    Args:
        raw: the rows.
        spec: policies for bad rows and duplicates, and the scale.
        name: what the ratings are called.
        own_scale: the scale the data is known to have; the specification's counts first. Without either, it
            runs from the smallest to the largest rating found. Of no use where the data set is implicit.
        titles: by item id, where they are in another file; else a title column counts.

    Raises:
        InvalidArgument: DATASET_INVALID: bad rows or duplicates where the policy is to fail, no row left, or
            no scale to be found because all ratings are equal.
    """
    users = read_ids(raw.read("user"), source=raw.source, name=raw.names["user"])
    items = read_ids(raw.read("item"), source=raw.source, name=raw.names["item"])
    # What is learned from is float32, and no value that float32 cannot hold is a rating.
    rating = None if spec.implicit else _optional_numbers(raw, "rating", np.float32)
    times = _optional_numbers(raw, "timestamp", np.float64)
    release_unused()

    scale = None if rating is None else spec.scale or own_scale
    fault = _judge(users, items, rating, times, scale)
    present = np.ones(len(fault), dtype=np.bool_)
    if raw.blank_lines:
        present = (users.fault_of_rows() != Fault.MISSING_FIELD) | (
            items.fault_of_rows() != Fault.MISSING_FIELD
        )
        if rating is not None:
            present |= ~rating.missing
        fault[~present] = Fault.NONE
    if spec.bad_rows == "fail":
        _refuse_bad_rows(raw, users, items, fault, scale)
    good = present & (fault == Fault.NONE)
    if not good.any():
        raise invalid(raw.source, "has no row that can be used.")

    rows = None if good.all() else np.flatnonzero(good)
    user, item = _taken(users.codes, rows), _taken(items.codes, rows)
    value = np.ones(len(user), np.float32) if rating is None else _taken(rating.values, rows)
    if scale is None and rating is not None:
        scale = _found_scale(raw.source, value)
    settled = settle_duplicates(user, item, value, policy=spec.duplicates)
    if settled.again is not None:
        again, first = raw.locate(raw.records(np.flatnonzero(good)[list(settled.again)]))
        raise InvalidArgument(
            f"{raw.source}: {again} rates the same item for the same user as {first}. Remove one, or set "
            'duplicates to "first", "last" or "mean".',
            reason="DATASET_INVALID",
            field="dataset.duplicates",
        )
    if titles is None and "title" in raw.names:
        titles = _titles_of_items(raw, items, good)
    return ratings.from_codes(
        users=(_taken(user, settled.rows), users.values),
        items=(_taken(item, settled.rows), items.values),
        rating=None if rating is None else settled.rating,
        titles=titles,
        scale=scale,
        name=name,
        skipped=_counts(fault, len(raw.malformed), duplicates=len(user) - len(settled.rating)),
        period=None if times is None else _period(_taken(_taken(times.values, rows), settled.rows)),
    )


def _judge(
    users: Ids, items: Ids, rating: Numbers | None, times: Numbers | None, scale: RatingScale | None
) -> Faults:
    """uint8 (n,): the first fault of each row, from left to right."""
    fault = users.fault_of_rows()
    found: list[tuple[NDArray[np.bool_] | Faults, Fault | None]] = [(items.fault_of_rows(), None)]
    if rating is not None:
        value = rating.values
        found.append((rating.missing, Fault.MISSING_FIELD))
        found.append((~np.isfinite(value), Fault.NOT_A_NUMBER))
        if scale is not None:
            # As ``RatingScale.holds``: an upload's 4.9 came as float32, which is a little more than the double.
            outside = (value < np.float32(scale.minimum)) | (value > np.float32(scale.maximum))
            found.append((outside, Fault.OUTSIDE_SCALE))
    if times is not None:
        found.append((np.isnan(times.values) & ~times.missing, Fault.BAD_TIMESTAMP))
    for wrong, reason in found:
        np.copyto(fault, wrong if reason is None else np.uint8(reason), where=(fault == 0) & (wrong != 0))
    return fault


def _refuse_bad_rows(raw: RawRows, users: Ids, items: Ids, fault: Faults, scale: RatingScale | None) -> None:
    bad = np.flatnonzero(fault)
    total = len(bad) + len(raw.malformed)
    if total == 0:
        return
    rows = bad[:_NAMED]
    reasons = [Fault(fault[row]) for row in rows]
    roles = [_at_fault(users, items, row, reason) for row, reason in zip(rows, reasons, strict=True)]
    shown = _values(raw, rows, roles, reasons)
    described = (
        _describe(raw.names[role], value, reason, scale)
        for role, value, reason in zip(roles, shown, reasons, strict=True)
    )
    named = list(zip(raw.records(rows), described, strict=True))
    named += [(bad_record.record, _field_count(raw, bad_record)) for bad_record in raw.malformed[:_NAMED]]
    named = sorted(named)[:_NAMED]
    places = raw.locate([record for record, _ in named])
    listed = "; ".join(f"{place}: {what}" for place, (_, what) in zip(places, named, strict=True))
    more = f"; and {total - len(named):,} more" if total > len(named) else ""
    how_many = "1 bad row" if total == 1 else f"{total:,} bad rows"
    raise InvalidArgument(
        f'{raw.source} has {how_many}: {listed}{more}. Correct the file, or set dataset.bad_rows to "skip".',
        reason="DATASET_INVALID",
        field="dataset.bad_rows",
        metadata={"bad_rows": str(total)},
    )


def _at_fault(users: Ids, items: Ids, row: int, reason: Fault) -> Role:
    """Which column gave a row its fault: the leftmost that has it."""
    if reason in {Fault.OUTSIDE_SCALE, Fault.NOT_A_NUMBER}:
        return "rating"
    if reason is Fault.BAD_TIMESTAMP:
        return "timestamp"
    if users.faults[users.codes[row]] == reason:
        return "user"
    return "item" if items.faults[items.codes[row]] == reason else "rating"


def _values(
    raw: RawRows, rows: NDArray[np.intp], roles: Sequence[Role], reasons: Sequence[Fault]
) -> list[str]:
    """What stands at fault in each row. A column is read once, for all of its rows: it may take seconds."""
    shown: dict[int, str] = {}
    wanted: dict[Role, list[int]] = {}
    for row, role, reason in zip(rows.tolist(), roles, reasons, strict=True):
        if reason is not Fault.MISSING_FIELD:
            wanted.setdefault(role, []).append(row)
    for role, its in wanted.items():
        column = raw.read(role)
        for row in its:
            value = column[row].as_py()
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            shown[row] = repr(shorten(text)) if isinstance(text, str) else str(text)
    return [shown.get(row, "") for row in rows.tolist()]


def _describe(name: str, value: str, reason: Fault, scale: RatingScale | None) -> str:
    """What is wrong with a row of the table, with the offending value."""
    if reason is Fault.MISSING_FIELD:
        return f"{name} is missing"
    if reason is Fault.OUTSIDE_SCALE and scale is not None:
        return f"{name} {value} is outside the scale from {scale.minimum:g} to {scale.maximum:g}"
    why = {
        Fault.NOT_UTF8: "is no UTF-8 text",
        Fault.ID_TOO_LONG: f"is longer than {MAX_ID_BYTES} bytes",
        Fault.ID_NOT_WHOLE: "is not a whole number below 2**53",
        Fault.NOT_A_NUMBER: "is not a number",
        Fault.BAD_TIMESTAMP: "is not a number of seconds",
    }[reason]
    return f"{name} {value} {why}"


def _field_count(raw: RawRows, bad: Malformed) -> str:
    fields = "1 field" if bad.fields == 1 else f"{bad.fields} fields"
    return f"{fields} where the header has {raw.expected_fields}"


def _found_scale(source: str, value: NDArray[np.float32]) -> RatingScale:
    smallest, largest = float(value.min()), float(value.max())
    if smallest == largest:
        raise InvalidArgument(
            f"every rating of {source} is {smallest:g}, so the scale cannot be told from them: set "
            "dataset.scale to the lowest and the highest rating a user can give",
            reason="DATASET_INVALID",
            field="dataset.scale",
        )
    return RatingScale(minimum=smallest, maximum=largest)


def _titles_of_items(raw: RawRows, items: Ids, good: NDArray[np.bool_]) -> dict[str, str]:
    """The first title of each item that is not empty."""
    titles = read_titles(raw.read("title"), source=raw.source, name=raw.names["title"])
    has_title = np.array([*(value != "" for value in titles.values), False])
    titled = np.flatnonzero(good & has_title[titles.codes])
    item, first = np.unique(items.codes[titled], return_index=True)
    chosen = titles.codes[titled[first]]
    return {items.values[i]: titles.values[t] for i, t in zip(item, chosen, strict=True)}


def _optional_numbers(raw: RawRows, role: Role, dtype: type[np.floating[Any]]) -> Numbers | None:
    if role not in raw.names:
        return None
    return read_numbers(raw.read(role), source=raw.source, name=raw.names[role], dtype=dtype)


def _period(times: NDArray[np.floating[Any]]) -> tuple[int, int] | None:
    known = times[~np.isnan(times)]
    return (int(known.min()), int(known.max())) if len(known) else None


def _taken(column: NDArray[_Value], rows: NDArray[np.intp] | None) -> NDArray[_Value]:
    """The column at these rows; None: all of it, and no copy."""
    return column if rows is None else column[rows]


def _counts(fault: Faults, malformed: int, *, duplicates: int) -> dict[str, int]:
    counts: Sequence[int] = np.bincount(fault, minlength=len(Fault)).tolist()
    by_fault = {reason: counts[reason] for reason in Fault if reason is not Fault.NONE}
    by_fault[Fault.FIELD_COUNT] = malformed
    by_fault[Fault.DUPLICATE] = duplicates
    return {reason.name.lower(): count for reason, count in by_fault.items() if count}
