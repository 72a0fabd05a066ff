"""Keeps the rows from becoming more with each process that was ever started, and each version."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, delete, exists, or_, select

from mfserve_registry.shadowing.rows import Pair, pair_of, replace_row, sums_of
from mfserve_registry.shadowing.sums import ShadowSums
from mfserve_registry.tables import servers, shadow_sums, versions

_GONE = ""
"""In the place of a process's id: all that are gone."""


def fold(connection: Connection, since: datetime) -> None:
    """Makes one row a pair of those of processes that are gone, and drops pairs with a version that is.

    Args:
        since: what belongs to a version that was deleted later than that stays.
    """
    numbers = shadow_sums.c.version, shadow_sums.c.shadow_version
    deleted = exists().where(
        versions.c.model == shadow_sums.c.model,
        or_(*(versions.c.version == number for number in numbers)),
        versions.c.deleted_at <= since,
    )
    connection.execute(delete(shadow_sums).where(deleted))
    # A process is entered before it tells of what it has found, and taken out after it has.
    gone = shadow_sums.c.server_id.not_in(select(servers.c.server_id))
    found: defaultdict[Pair, ShadowSums] = defaultdict(ShadowSums)
    for row in connection.execute(select(shadow_sums).where(gone)):
        found[pair_of(row)] += sums_of(row)
    connection.execute(delete(shadow_sums).where(gone))
    for pair, sums in found.items():
        replace_row(connection, pair, _GONE, sums)
