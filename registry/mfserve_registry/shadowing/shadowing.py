"""What asking a shadow beside the versions that answer has found."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from mfserve_registry.database import Database
from mfserve_registry.shadowing.rows import Pair, is_of, replace_row, sums_of
from mfserve_registry.shadowing.sums import ShadowSums
from mfserve_registry.tables import shadow_sums


class Shadowing:
    """What server processes have found about shadows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, server_id: str, found: Mapping[Pair, ShadowSums]) -> None:
        """Replaces what the process has told of these pairs before."""
        with self._database.write() as connection:
            for pair, sums in found.items():
                replace_row(connection, pair, server_id, sums)

    def between(self, model: str, version: int, other: int) -> ShadowSums:
        """All that was found about two versions, whichever of them was the shadow; ``version`` comes first."""
        return self.of(Pair(model, version, other)) + self.of(Pair(model, other, version)).turned()

    def of(self, pair: Pair) -> ShadowSums:
        """The same of one of them as the shadow."""
        with self._database.read() as connection:
            rows = connection.execute(select(shadow_sums).where(is_of(pair))).all()
        return sum(map(sums_of, rows), ShadowSums())
