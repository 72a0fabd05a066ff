"""The rows of the sums, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, insert

from mfserve_registry.shadowing.sums import AnswerSums, ShadowSums, Sums
from mfserve_registry.tables import shadow_sums


class Pair(NamedTuple):
    """A version that answers callers, and the shadow that is asked beside it."""

    model: str
    version: int
    shadow: int


def replace_row(connection: Connection, pair: Pair, server_id: str, sums: ShadowSums) -> None:
    """Puts what a process has found of a pair in the place of what it has told before."""
    connection.execute(delete(shadow_sums).where(is_of(pair), shadow_sums.c.server_id == server_id))
    connection.execute(
        insert(shadow_sums).values(
            model=pair.model,
            version=pair.version,
            shadow_version=pair.shadow,
            server_id=server_id,
            answers=_to_json(sums.answers),
            dropped=sums.dropped,
            failed=sums.failed,
        )
    )


def is_of(pair: Pair) -> ColumnElement[bool]:
    """Whether a row is of this pair."""
    return (
        (shadow_sums.c.model == pair.model)
        & (shadow_sums.c.version == pair.version)
        & (shadow_sums.c.shadow_version == pair.shadow)
    )


def pair_of(row: Row[Any]) -> Pair:
    return Pair(row.model, row.version, row.shadow_version)


def sums_of(row: Row[Any]) -> ShadowSums:
    return ShadowSums(_from_json(row.answers), row.dropped, row.failed)


def _to_json(answers: AnswerSums) -> dict[str, list[float]]:
    sums: dict[str, Sums] = {one.name: getattr(answers, one.name) for one in fields(answers)}
    return {name: [one.count, one.total, one.squares] for name, one in sums.items()}


def _from_json(answers: Mapping[str, list[float]]) -> AnswerSums:
    """What a newer release has measured besides is left out, and what an older one has not is none."""
    known = {one.name for one in fields(AnswerSums)}
    return AnswerSums(
        **{
            name: Sums(int(count), total, squares)
            for name, (count, total, squares) in answers.items()
            if name in known
        }
    )
