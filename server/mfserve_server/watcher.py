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
    So does, from the start, what the home's record says that aliases named last.
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
        # What each alias names, as far as it could be loaded; None before the first look.
        self._known: Mapping[Name, ResolvedAlias] | None = None
        self._recorded: Mapping[Name, ResolvedAlias] = {}
        self._recorded_at = -math.inf

    async def look(self) -> None:
        """Looks once, and loads and swaps what has changed."""
        try:
            if self._known is None:
                self._known = self._recorded = await self._recall()
            wanted = await self._wanted(self._known)
            await self._follow(wanted)
            served = {name: route.wanted for name, route in self._catalog.by_alias.items()}
            self._known = {**wanted, **served}
            await self._keep_record(self._known)
        except Exception:  # noqa: BLE001 - a defect here must not end the watching
            _log.exception("the watcher failed; it tries again")

    async def _recall(self) -> Mapping[Name, ResolvedAlias]:
        record = await self._executors.watching(self._record.read)
        if record is None:
            return {}
        self._contact.read_at = record.read_at
        return _by_name(record.aliases)

    async def _wanted(self, known: Mapping[Name, ResolvedAlias]) -> Mapping[Name, ResolvedAlias]:
        """What each alias is to answer from: what the registry names, else what is known."""
        try:
            news = await self._executors.watching(self._ask, known.keys(), self._catalog.unnamed)
        except RegistryError as error:
            self._contact.failed(error)
            return known
        self._contact.found()
        self._catalog.forget(news.aliases_deleted)
        self._catalog.drop(news.versions_deleted)
        kept = {name: alias for name, alias in known.items() if name not in news.aliases_deleted}
        return {**kept, **news.named}

    def _ask(self, names: Collection[Name], unnamed: set[Key]) -> _News:
        """Blocks."""
        aliases, models = self._registry.aliases, self._registry.models
        named = _by_name(aliases.aliased())
        missing = set(names) - named.keys()
        return _News(
            named,
            aliases.deleted(missing) if missing else set(),
            models.deleted(unnamed) if unnamed else set(),
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

    async def _move(self, alias: ResolvedAlias) -> None:
        now = self._catalog.by_alias.get((alias.model, alias.alias))
        if now is not None and now.wanted == alias:
            return  # it is only the shadow that is missing
        try:
            targets = [await self._catalog.load(target) for target in alias.targets]
        except RegistryError:
            return  # the catalog has logged and reports it; what answered so far goes on
        self._catalog.serve(Route(alias, split_of(alias), tuple(targets)))
        shares = {target.version: target.weight for target in alias.state.targets}
        _log.info("serves", model=alias.model, alias=alias.alias, weights=shares)

    async def _add_shadow(self, alias: ResolvedAlias) -> None:
        route = self._catalog.by_alias.get((alias.model, alias.alias))
        if alias.shadow is None or alias.state.shadow is None or route is None or route.wanted != alias:
            return
        try:
            loaded = await self._catalog.load(alias.shadow)
        except RegistryError:
            return
        self._catalog.serve(route.with_shadow(loaded, alias.state.shadow.share))

    async def _keep_record(self, known: Mapping[Name, ResolvedAlias]) -> None:
        """Writes what is known, unless the registry has not confirmed it just now."""
        due = known and time.monotonic() > self._recorded_at + RECORD_SECONDS
        if self._contact.loss is None and (due or known != self._recorded):
            await self._executors.watching(self._write, tuple(known.values()))
            self._recorded, self._recorded_at = known, time.monotonic()

    def _write(self, aliases: Sequence[ResolvedAlias]) -> None:
        """Blocks."""
        self._record.write(aliases)
        for digest in {version.digest for alias in aliases for version in alias.versions}:
            self._registry.snapshots.note_use(digest)


def _by_name(aliases: Sequence[ResolvedAlias]) -> Mapping[Name, ResolvedAlias]:
    return {(alias.model, alias.alias): alias for alias in aliases}
