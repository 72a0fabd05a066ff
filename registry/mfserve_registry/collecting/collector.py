"""Deletes what is not to be kept, and removes from the store what nothing in the database names.

First rows, then files, and each step leaves what the next run goes on with: a version that is deleted and still has its
files, a snapshot that is marked as collected and still there. A file goes under a lock that no publisher of the same
shares, after another look into the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from mfserve_registry.collecting.named import named
from mfserve_registry.collecting.retention import delete_uploads, delete_versions, live_models
from mfserve_registry.collecting.stored import Stored, stored
from mfserve_registry.collecting.types import Collected, Retention, Verdict
from mfserve_registry.database import Database
from mfserve_registry.ownership import Ownership
from mfserve_registry.shadowing import fold
from mfserve_registry.snapshot.manifest import FILE_NAME
from mfserve_registry.store import Store
from mfserve_registry.tables import snapshots

Progress = Callable[[int, int], None]
"""Told how many bytes have been looked at, and of how many."""

# What is staged takes no locks: a fit that has just begun must not lose its folder, whatever the grace.
_STAGED = timedelta(days=1)


class Collector:
    """Collects in a registry."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def collect(self, retention: Retention, *, dry_run: bool, progress: Progress | None) -> Collected:
        """See ``Registry.collect``."""
        ownership = Ownership(self._database, self._store)  # a new one: what was found before may be over
        if dry_run:
            ownership.check()
        else:
            ownership.claim()
        deleted, dropped = self._mark(retention, dry_run=dry_run)
        things = stored(self._store)
        with self._database.read() as connection:
            now = self._database.now()
            # Less what a dry run has only told of: it is to tell what a run does.
            alive = _without(named(connection, now, now), (*deleted, *dropped))
            needs = _without(named(connection, now, now - retention.grace), dropped)
        if not retention.grace:
            needs = alive
        kept = [thing for thing in things if thing.name in alive]
        waiting = [thing for thing in things if thing.name in needs and thing.name not in alive]
        others = [thing for thing in things if thing.name not in needs]
        verdicts = [*deleted, *dropped]
        verdicts += [Verdict(thing.name, False, _WAITING, thing.size_bytes) for thing in waiting]
        done, total = 0, sum(thing.size_bytes for thing in others)
        for thing in others:
            verdicts.append(self._verdict(thing, retention.grace, dry_run=dry_run))
            done += thing.size_bytes
            if progress is not None:
                progress(done, total)
        if not dry_run:
            self._store.clean_staging(max(retention.grace, _STAGED))
        size = sum(thing.size_bytes for thing in kept)
        missing = self._missing(alive.keys() - {thing.name for thing in things})
        return Collected(tuple(verdicts), len(kept), size, missing)

    def _missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that are not there; some have come since the store was looked through."""
        places = {name: f"{name}/{FILE_NAME}" if name.startswith("snapshots/") else name for name in names}
        return tuple(sorted(name for name, place in places.items() if not self._store.contains(place)))

    def _mark(self, retention: Retention, *, dry_run: bool) -> tuple[list[Verdict], list[Verdict]]:
        """Deletes versions, a transaction for each model, and uploads: all writers wait for each of them."""
        transaction = self._database.read if dry_run else self._database.write
        deleted: list[Verdict] = []
        if retention.keep_last is not None:
            with self._database.read() as connection:
                names = live_models(connection)
            for model in names:
                with transaction() as connection:
                    now = self._database.now()
                    deleted += delete_versions(connection, model, retention, now, dry_run=dry_run)
        with transaction() as connection:
            now = self._database.now()
            dropped = list(delete_uploads(connection, retention, now, dry_run=dry_run))
            if not dry_run:
                fold(connection, now - retention.grace)
        return deleted, dropped

    def _verdict(self, thing: Stored, grace: timedelta, *, dry_run: bool) -> Verdict:
        def verdict(why: str, *, goes: bool = False) -> Verdict:
            return Verdict(thing.name, goes, why, thing.size_bytes)

        # By the store's clock, which is the wall's, and not by the registry's, which tests may set.
        if grace and thing.written_at > datetime.now(UTC) - grace:
            return verdict("too young: it may be about to be published")
        if dry_run:
            return verdict(_NAMELESS, goes=True)
        with self._database.lock_alone(thing.name) as lock:
            if lock is None:
                return verdict("just being published")
            with lock.write() as connection:
                now = self._database.now()
                if thing.name in named(connection, now, now - grace, thing.key):
                    return verdict("named meanwhile")
                if thing.kind == "snapshots":
                    connection.execute(
                        update(snapshots).where(snapshots.c.digest == thing.key).values(collected_at=now)
                    )
            self._store.remove(thing.name, last=thing.last)
        return verdict(_NAMELESS, goes=True)


def _without(needs: dict[str, set[str]], verdicts: Iterable[Verdict]) -> dict[str, set[str]]:
    """Less what nobody needs but those that go."""
    going = {verdict.name for verdict in verdicts if verdict.goes}
    return {name: users for name, users in needs.items() if not users <= going}


_NAMELESS = "nothing names it"
_WAITING = "its version is deleted, and the grace is not over"
