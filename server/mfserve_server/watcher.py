"""Follows the registry: loads what aliases name beside what answers, then swaps, and lets go of what is deleted."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedAlias
from mfserve_registry.contact import Contact
from mfserve_registry.errors import RegistryError
from mfserve_server.catalog import Catalog, Key, Name, Number
from mfserve_server.executors import Executors
from mfserve_server.record import RecordFile
from mfserve_server.routes import Route

RECORD_SECONDS = 60.0
"""So often the record is written though nothing has changed: it tells how old it is."""

_log = structlog.get_logger(__name__)


class _News(NamedTuple):
    """What the registry says: what each alias names, and what became of that which is known here.

    Attributes:
        digests: of versions that no alias names; None of those that were deleted.
    """

    named: Mapping[Name, ResolvedAlias]
    aliases_deleted: set[Name]
    digests: Mapping[Number, str | None]


class Watcher:
    """Keeps a catalog's aliases as the registry has them.

    What answers goes on answering where the registry does not answer, names a version that cannot be loaded (if only
    one of several), or does not have the alias: only what it has marked as deleted was deleted, all else is a wrong or
    an emptied database.
    So does, from the start, what the home's record says that aliases answered from last; and where that is no longer
    what an alias names, it answers as long as what it names cannot be loaded. Where nothing can be loaded as a whole,
    the versions answer that can be, for all users, and the others come in when they can.

    Asking (``look``) and loading (``follow``) are two tasks: however long a snapshot takes, a registry that is lost or
    back is noticed, and a rollback to what is loaded already is followed.
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
        # What each has answered from last, in this process or in one before it.
        self._last: Mapping[Name, ResolvedAlias] = {}
        self._recorded: Mapping[Name, ResolvedAlias] = {}
        self._recorded_at = -math.inf
        self._looked = asyncio.Event()

    async def recall(self) -> None:
        """Reads the record. Comes first."""
        record = await self._executors.storing(self._record.read)
        if record is not None:
            self._contact.read_at = record.read_at
            self._last = self._recorded = _by_name(record.aliases)
            self._catalog.want(self._last)

    async def look(self) -> None:
        """Asks once, and swaps where what is wanted is loaded already."""
        try:
            await self._ask()
            for name in self._moved():
                if self._is_loaded(self._catalog.wanted[name]):
                    await self._move(name)
        except Exception:  # noqa: BLE001 - a defect here must not end the watching
            _log.exception("the watcher failed; it tries again")
        self._looked.set()

    async def follow(self) -> None:
        """Loads, swaps and records what the last look has found; waits for one that it has not followed yet."""
        await self._looked.wait()
        self._looked.clear()
        try:
            moved = self._moved()
            for name in moved:
                await self._move(name)
            # Nobody waits for a shadow, so it comes last.
            for name in moved:
                await self._add_shadow(name)
            await self._keep_record()
        except Exception:  # noqa: BLE001 - as above
            _log.exception("following failed; it is tried again")

    async def _ask(self) -> None:
        unnamed = self._catalog.unnamed
        try:
            news = await self._executors.watching(
                self._news, self._catalog.wanted.keys(), unnamed, self._last
            )
        except RegistryError as error:
            self._contact.failed(error)
            return
        self._contact.found()
        self._catalog.forget(news.aliases_deleted)
        self._catalog.drop(
            {
                (model, version, digest)
                for model, version, digest in unnamed
                if news.digests.get((model, version), digest) != digest
            }
        )
        kept = {
            name: alias for name, alias in self._catalog.wanted.items() if name not in news.aliases_deleted
        }
        self._catalog.want({**kept, **news.named})
        self._last = {
            name: alias
            for name, alias in self._last.items()
            if name in self._catalog.wanted
            and not any(number in news.digests and news.digests[number] is None for number in _numbers(alias))
        }

    def _news(self, names: Collection[Name], unnamed: set[Key], last: Mapping[Name, ResolvedAlias]) -> _News:
        """Blocks."""
        aliases, models = self._registry.aliases, self._registry.models
        named = _by_name(aliases.aliased())
        missing = set(names) - named.keys()
        left = [_numbers(alias) for name, alias in last.items() if named.get(name) != alias]
        numbers = {(model, version) for model, version, _ in unnamed}.union(*left)
        return _News(
            named,
            aliases.deleted(missing) if missing else set(),
            models.digests(numbers) if numbers else {},
        )

    def _moved(self) -> Sequence[Name]:
        """The aliases that do not answer from what is wanted, or have no shadow yet."""
        return [
            name
            for name, alias in self._catalog.wanted.items()
            if not self._answers(alias) or self._unshadowed(alias) is not None
        ]

    def _is_loaded(self, wanted: ResolvedAlias) -> bool:
        return all(self._catalog.holds(target) for target in wanted.targets)

    async def _move(self, name: Name) -> None:
        wanted = self._catalog.wanted.get(name)
        if wanted is None or self._answers(wanted):
            return  # a later look has found it deleted, or it is only the shadow that is missing
        # What answers goes on where the wanted one cannot be loaded; where nothing does, what answered last is next.
        last = None if name in self._catalog.by_alias else self._last.get(name)
        route = await self._best([wanted] if last is None else [wanted, last])
        if route is not None and self._is_welcome(name, route):
            self._serve(route)

    async def _best(self, aliases: Sequence[ResolvedAlias]) -> Route | None:
        """To the first that can be loaded as a whole; or else to what can be loaded of the last one that has any."""
        parts = []
        for alias in aliases:
            loaded = []
            for target in alias.targets:
                with suppress(RegistryError):  # the catalog has logged and reports it
                    loaded.append(await self._catalog.load(target))
            if loaded:
                parts.append(Route.of(alias, loaded))
                if not parts[-1].missing:
                    return parts[-1]
        return parts[-1] if parts else None

    def _is_welcome(self, name: Name, route: Route) -> bool:
        """Whether it may take the place of what answers: anything may where nothing does.

        Otherwise only what the last look has found, as a whole, or with more of its versions than answer now.
        """
        wanted, now = self._catalog.wanted.get(name), self._catalog.by_alias.get(name)
        if wanted is None or now is None:
            return wanted is not None
        more = not route.missing if now.wanted != wanted else len(route.targets) > len(now.targets)
        return route.wanted == wanted and more

    def _serve(self, route: Route) -> None:
        self._catalog.serve(route)
        alias = route.wanted
        log = _log.warning if route.missing else _log.info
        shares = {target.version: target.weight for target in alias.state.targets}
        log("serves", model=alias.model, alias=alias.alias, weights=shares, missing=route.missing)

    async def _add_shadow(self, name: Name) -> None:
        alias = self._catalog.wanted.get(name)
        if (
            alias is None
            or alias.shadow is None
            or alias.state.shadow is None
            or self._unshadowed(alias) is None
        ):
            return
        try:
            loaded = await self._catalog.load(alias.shadow)
        except RegistryError:
            return
        if (route := self._unshadowed(alias)) is not None:  # still
            self._catalog.serve(route.with_shadow(loaded, alias.state.shadow.share))

    def _answers(self, alias: ResolvedAlias) -> bool:
        """Whether all the versions answer that it names here; a shadow is none of them."""
        route = self._route_of(alias)
        return route is not None and not route.missing

    def _unshadowed(self, alias: ResolvedAlias) -> Route | None:
        """Where its calls go, if a shadow that it names is not asked yet."""
        route = None if alias.shadow is None else self._route_of(alias)
        return route if route is not None and route.shadow is None else None

    def _route_of(self, alias: ResolvedAlias) -> Route | None:
        """Where its calls go; None where that is not yet, or no longer, what it names here."""
        route = self._catalog.by_alias.get(_name(alias))
        return route if route is not None and route.wanted == alias else None

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
    return {_name(alias): alias for alias in aliases}


def _name(alias: ResolvedAlias) -> Name:
    return (alias.model, alias.alias)


def _numbers(alias: ResolvedAlias) -> set[Number]:
    return {(target.model, target.version) for target in alias.targets}
