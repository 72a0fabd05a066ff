"""Follows the registry: loads what aliases name beside what answers, then swaps, and lets go of what is deleted."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedAlias
from mfserve_registry.errors import RegistryError
from mfserve_server.catalog import Catalog, Key, Name
from mfserve_server.contact import Contact
from mfserve_server.executors import Executors
from mfserve_server.record import RecordFile
from mfserve_server.routes import Route, split_of

RECORD_SECONDS = 60.0
"""So often the record is written though nothing has changed: it tells how old it is."""

_log = structlog.get_logger(__name__)


class _News(NamedTuple):
    """What the registry says: what each alias names, and what was deleted of that which is known here."""

    named: Mapping[Name, ResolvedAlias]
    aliases_deleted: set[Name]
    versions_deleted: set[Key]


class Watcher:
    """Keeps a catalog's aliases as the registry has them.

    What answers goes on answering where the registry does not answer, names a version that cannot be loaded (if only
    one of several), or does not have the alias: only what it has marked as deleted was deleted, all else is a wrong or
    an emptied database.
    So does, from the start, what the home's record says that aliases answered from last; and where that is no longer
    what an alias names, it answers as long as what it names cannot be loaded.
    """

    def __init__(
        self,
        catalog: Catalog,
        registry: Registry,
        executors: Executors,
        contact: Contact,
        record: RecordFile,
    ) -> None:
        self._catalog = catalog
        self._registry = registry
        self._executors = executors
        self._contact = contact
        self._record = record
        # What each alias is to answer from: what the registry said last, at first what is recorded.
        self._wanted: Mapping[Name, ResolvedAlias] = {}
        # What each has answered from last, in this process or in one before it.
        self._last: Mapping[Name, ResolvedAlias] = {}
        self._recorded: Mapping[Name, ResolvedAlias] = {}
        self._recorded_at = -math.inf

    async def recall(self) -> None:
        """Reads the record. Comes first."""
        record = await self._executors.storing(self._record.read)
        if record is not None:
            self._contact.read_at = record.read_at
            self._wanted = self._last = self._recorded = _by_name(record.aliases)

    async def look(self) -> None:
        """Looks once, and loads and swaps what has changed."""
        try:
            await self._ask()
            await self._follow(self._wanted)
            await self._keep_record()
        except Exception:  # noqa: BLE001 - a defect here must not end the watching
            _log.exception("the watcher failed; it tries again")

    async def _ask(self) -> None:
        try:
            news = await self._executors.watching(
                self._news, self._wanted.keys(), self._catalog.unnamed, self._last
            )
        except RegistryError as error:
            self._contact.failed(error)
            return
        self._contact.found()
        self._catalog.forget(news.aliases_deleted)
        self._catalog.drop(news.versions_deleted)
        kept = {name: alias for name, alias in self._wanted.items() if name not in news.aliases_deleted}
        self._wanted = {**kept, **news.named}
        self._last = {
            name: alias
            for name, alias in self._last.items()
            if name in self._wanted and not _keys(alias) & news.versions_deleted
        }

    def _news(self, names: Collection[Name], unnamed: set[Key], last: Mapping[Name, ResolvedAlias]) -> _News:
        """Blocks."""
        aliases, models = self._registry.aliases, self._registry.models
        named = _by_name(aliases.aliased())
        missing = set(names) - named.keys()
        left = [_keys(alias) for name, alias in last.items() if named.get(name) != alias]
        not_named = unnamed.union(*left)
        return _News(
            named,
            aliases.deleted(missing) if missing else set(),
            models.deleted(not_named) if not_named else set(),
        )

    async def _follow(self, wanted: Mapping[Name, ResolvedAlias]) -> None:
        moved = [alias for name, alias in wanted.items() if not self._serves(name, alias)]
        # What is loaded already first: a rollback must not wait for somebody else's large snapshot.
        for alias in sorted(moved, key=lambda alias: not self._is_loaded(alias)):
            await self._move(alias)
        # Nobody waits for a shadow, so it comes last.
        for alias in moved:
            await self._add_shadow(alias)

    def _serves(self, name: Name, wanted: ResolvedAlias) -> bool:
        now = self._catalog.by_alias.get(name)
        return now is not None and now.wanted == wanted and (now.shadow is None) == (wanted.shadow is None)

    def _is_loaded(self, wanted: ResolvedAlias) -> bool:
        return all(
            self._catalog.held(target.model, version=target.version) is not None for target in wanted.targets
        )

    async def _move(self, wanted: ResolvedAlias) -> None:
        name = (wanted.model, wanted.alias)
        now, last = self._catalog.by_alias.get(name), self._last.get(name)
        if now is not None and now.wanted == wanted:
            return  # it is only the shadow that is missing
        if not await self._swap(wanted) and now is None and last is not None and last != wanted:
            await self._swap(last)

    async def _swap(self, alias: ResolvedAlias) -> bool:
        """False where it cannot be loaded; the catalog logs and reports that, and what answered so far goes on."""
        try:
            targets = [await self._catalog.load(target) for target in alias.targets]
        except RegistryError:
            return False
        self._catalog.serve(Route(alias, split_of(alias), tuple(targets)))
        shares = {target.version: target.weight for target in alias.state.targets}
        _log.info("serves", model=alias.model, alias=alias.alias, weights=shares)
        return True

    async def _add_shadow(self, alias: ResolvedAlias) -> None:
        route = self._catalog.by_alias.get((alias.model, alias.alias))
        if alias.shadow is None or alias.state.shadow is None or route is None or route.wanted != alias:
            return
        try:
            loaded = await self._catalog.load(alias.shadow)
        except RegistryError:
            return
        self._catalog.serve(route.with_shadow(loaded, alias.state.shadow.share))

    async def _keep_record(self) -> None:
        """Writes what each alias has answered from last, unless the registry has not confirmed it just now."""
        served = {name: route.wanted for name, route in self._catalog.by_alias.items()}
        last = self._last = {**self._last, **served}
        due = last and time.monotonic() > self._recorded_at + RECORD_SECONDS
        if self._contact.loss is None and (due or last != self._recorded):
            await self._executors.storing(self._write, tuple(last.values()))
            self._recorded, self._recorded_at = last, time.monotonic()

    def _write(self, aliases: Sequence[ResolvedAlias]) -> None:
        """Blocks."""
        self._record.write(aliases)
        for digest in {version.digest for alias in aliases for version in alias.versions}:
            self._registry.snapshots.note_use(digest)


def _by_name(aliases: Sequence[ResolvedAlias]) -> Mapping[Name, ResolvedAlias]:
    return {(alias.model, alias.alias): alias for alias in aliases}


def _keys(alias: ResolvedAlias) -> set[Key]:
    return {(target.model, target.version) for target in alias.targets}
