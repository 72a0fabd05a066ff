"""Follows the registry: loads what aliases name beside what answers, then swaps, and lets go of what is deleted."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedAlias
from mfserve_registry.errors import RegistryError
from mfserve_server.catalog import Catalog, Name
from mfserve_server.executors import Executors
from mfserve_server.routes import Route, split_of

_log = structlog.get_logger(__name__)


class Watcher:
    """Keeps a catalog's aliases as the registry has them.

    What answers goes on answering where the registry does not answer, names a version that cannot be loaded (if only
    one of several), or does not have the alias: only what it has marked as deleted was deleted, all else is a wrong or
    an emptied database.
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
        wanted = {(alias.model, alias.alias): alias for alias in named}
        await self._let_go(wanted.keys())
        moved = [alias for name, alias in wanted.items() if not self._serves(name, alias)]
        # What is loaded already first: a rollback must not wait for somebody else's large snapshot.
        for alias in sorted(moved, key=lambda alias: not self._is_loaded(alias)):
            await self._move(alias)

    async def _let_go(self, wanted: AbstractSet[Name]) -> None:
        if missing := self._catalog.by_alias.keys() - wanted:
            self._catalog.forget(await self._executors.registry(self._registry.aliases.deleted, missing))
        if unnamed := self._catalog.unnamed:
            self._catalog.drop(await self._executors.registry(self._registry.models.deleted, unnamed))

    def _serves(self, name: Name, wanted: ResolvedAlias) -> bool:
        now = self._catalog.by_alias.get(name)
        return now is not None and now.wanted == wanted

    def _is_loaded(self, wanted: ResolvedAlias) -> bool:
        return all(
            self._catalog.held(target.model, version=target.version) is not None for target in wanted.targets
        )

    async def _move(self, alias: ResolvedAlias) -> None:
        try:
            targets = [await self._catalog.load(target) for target in alias.targets]
        except RegistryError:
            return  # the catalog has logged and reports it; what answered so far goes on
        self._catalog.serve(Route(alias, split_of(alias), tuple(targets)))
        shares = {target.version: target.weight for target in alias.state.targets}
        _log.info("serves", model=alias.model, alias=alias.alias, weights=shares)
