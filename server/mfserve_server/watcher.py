"""Follows the registry: loads what aliases name beside what answers, then swaps, and lets go of what is deleted."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedVersion
from mfserve_registry.errors import RegistryError
from mfserve_server.catalog import Catalog, Name
from mfserve_server.executors import Executors

_log = structlog.get_logger(__name__)


class Watcher:
    """Keeps a catalog's aliases as the registry has them. An alias of several versions answers from the heaviest.

    What answers goes on answering where the registry does not answer, names a version that cannot be loaded, or does
    not have the alias: only what it has marked as deleted was deleted, all else is a wrong or an emptied database.
    """

    def __init__(self, catalog: Catalog, registry: Registry, executors: Executors) -> None:
        self._catalog = catalog
        self._registry = registry
        self._executors = executors
        self._answers = True

    async def look(self) -> None:
        """Looks once, and loads and swaps what has changed."""
        try:
            await self._follow()
        except RegistryError as error:
            if self._answers:
                _log.warning("the registry does not answer", reason=error.reason, message=error.message)
            self._answers = False
        except Exception:  # noqa: BLE001 - a defect here must not end the watching
            _log.exception("the watcher failed; it tries again")
        else:
            self._answers = True

    async def _follow(self) -> None:
        named = await self._executors.registry(self._registry.aliases.aliased)
        wanted: dict[Name, ResolvedVersion] = {}
        for version in named:
            wanted.setdefault((version.model, version.alias or ""), version)
        await self._let_go(wanted)
        moved = {name: version for name, version in wanted.items() if not self._serves(name, version)}
        # What is loaded already first: a rollback must not wait for somebody else's large snapshot.
        for name, version in sorted(moved.items(), key=lambda entry: not self._is_loaded(entry[1])):
            await self._move(name, version)

    async def _let_go(self, wanted: Mapping[Name, ResolvedVersion]) -> None:
        if missing := self._catalog.by_alias.keys() - wanted.keys():
            self._catalog.forget(await self._executors.registry(self._registry.aliases.deleted, missing))
        if unnamed := self._catalog.unnamed:
            self._catalog.drop(await self._executors.registry(self._registry.models.deleted, unnamed))

    def _serves(self, name: Name, wanted: ResolvedVersion) -> bool:
        now = self._catalog.by_alias.get(name)
        return now is not None and (now.version, now.digest) == (wanted.version, wanted.digest)

    def _is_loaded(self, wanted: ResolvedVersion) -> bool:
        return self._catalog.held(wanted.model, version=wanted.version) is not None

    async def _move(self, name: Name, version: ResolvedVersion) -> None:
        try:
            loaded = await self._catalog.load(version)
        except RegistryError:
            return  # the catalog has logged and reports it; what answered so far goes on
        self._catalog.serve(name, loaded)
        _log.info("serves", model=name[0], alias=name[1], version=loaded.version)
