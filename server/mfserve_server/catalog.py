"""What a server process can answer from."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from uuid import uuid4

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedAlias, ResolvedVersion
from mfserve_registry.errors import RegistryError, Unavailable
from mfserve_registry.names import LATEST, PRODUCTION
from mfserve_registry.serving import ServingLease, ServingState
from mfserve_server.executors import Executors
from mfserve_server.loading import LoadedVersion, Loader
from mfserve_server.routes import Route, resolved_for

Name = tuple[str, str]
"""Model and alias."""
Number = tuple[str, int]
"""Model and version."""
Key = tuple[str, int, str]
"""Model, version and digest: in a database that was restored, or made anew, a number may be another snapshot's."""

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
_FAILURES_KEPT = 64

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A version that could not be loaded.

    Attributes:
        wanted: the version.
        error: why, in words for callers.
        delay: seconds between the last try and the next.
        retry_at: when it may be tried again, by the monotonic clock.
    """

    wanted: ResolvedVersion
    error: RegistryError
    delay: float
    retry_at: float

    def raised(self) -> RegistryError:
        """The same error anew: one instance raised often would gather a traceback without end."""
        error = type(self.error)(self.error.message, reason=self.error.reason, metadata=self.error.metadata)
        if isinstance(error, Unavailable):
            error.retry_seconds = max(self.retry_at - time.monotonic(), 0.0)
        return error


class Catalog:
    """Loaded versions by name: those that aliases name, and a bounded number that callers asked for otherwise.

    Lives on the event loop: its state changes between awaits only, so a reader never sees half a change.

    Args:
        registry: asked for names that are not here.
        loader: makes versions; called in the loading thread.
        max_bytes: most snapshot bytes of versions that no alias names; the last one asked for stays in any case.
        max_versions: most versions that no alias names.
        changed: called when what ``leases`` tells has changed.
        left: called with the digests of the snapshots that an alias named whose route has changed: some of its users,
            or all, are answered from elsewhere now.
    """

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        executors: Executors,
        *,
        max_bytes: int,
        max_versions: int,
        changed: Callable[[], None] = lambda: None,
        left: Callable[[set[str]], None] = lambda digests: None,
    ) -> None:
        self._registry = registry
        self._loader = loader
        self._executors = executors
        self._max_bytes = max_bytes
        self._max_versions = max_versions
        self._changed = changed
        self._left = left
        self._wanted: Mapping[Name, ResolvedAlias] = {}
        self._by_alias: Mapping[Name, Route] = MappingProxyType({})
        self._shadowed: Mapping[Name, Route] = {}
        self._aliased: dict[Number, LoadedVersion] = {}
        self._on_demand: OrderedDict[Number, LoadedVersion] = OrderedDict()
        self._loads: dict[Key, asyncio.Task[LoadedVersion]] = {}
        self._failures: dict[Key, LoadFailure] = {}
        self._latest: dict[str, int] = {}
        self._streams: Counter[Key] = Counter()

    @property
    def wanted(self) -> Mapping[Name, ResolvedAlias]:
        """What each alias is to answer from: what the registry said last, at first what was recorded."""
        return self._wanted

    @property
    def by_alias(self) -> Mapping[Name, Route]:
        """What answers for each alias; a snapshot that later changes leave alone."""
        return self._by_alias

    @property
    def shadowed(self) -> Mapping[Name, Route]:
        """The routes of ``by_alias`` that have a shadow."""
        return self._shadowed

    @property
    def unnamed(self) -> set[Key]:
        """The versions, loaded or not to be loaded, that no alias needs."""
        held = {key_of(loaded) for loaded in self._on_demand.values()}
        return {*held, *self._failures} - {key_of(loaded) for loaded in self._aliased.values()}

    @property
    def answers(self) -> bool:
        """Whether any version is here."""
        return bool(self._aliased or self._on_demand)

    async def get(
        self, model: str, *, version: int | None = None, alias: str | None = None, user_id: str = ""
    ) -> LoadedVersion:
        """The version that a caller means; with neither ``version`` nor ``alias``, that of ``production``.

        Of an alias of several versions it is the user's, or the heaviest where the call names no user.

        Names that are not here are asked of the registry, every time: whoever heard that a version was published
        must find it, on whichever process.

        Raises:
            InvalidArgument: a bad name.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND, ALIAS_NOT_FOUND.
            DamagedSnapshot: it exists and cannot be loaded.
            Unavailable: the registry does not answer.
        """
        held = self.held(model, version=version, alias=alias, user_id=user_id)
        if held is not None:
            return held
        try:
            # Not shared among callers: an answer under way may be older than what this caller knows.
            wanted = await self._executors.registry(self._resolve, model, version, alias, user_id)
        except Unavailable:
            if (
                alias == LATEST
                and (known := self.held(model, version=self._latest.get(model, 0))) is not None
            ):
                return known
            raise
        if alias == LATEST:
            self._latest[model] = wanted.version
        return await self.load(wanted)

    def held(
        self, model: str, *, version: int | None = None, alias: str | None = None, user_id: str = ""
    ) -> LoadedVersion | None:
        """The same without asking anybody: None where it is not here."""
        if version is None:
            route = self.route(model, alias=alias)
            return None if route is None else route.answering(user_id)
        number = (model, version)
        if (found := self._aliased.get(number)) is not None:
            return found
        if (found := self._on_demand.get(number)) is not None:
            self._on_demand.move_to_end(number)
        return found

    def holds(self, wanted: ResolvedVersion) -> bool:
        """Whether it is here, and not another snapshot that had its number."""
        held = self.held(wanted.model, version=wanted.version)
        return held is not None and held.digest == wanted.digest

    def route(self, model: str, *, version: int | None = None, alias: str | None = None) -> Route | None:
        """Where the calls of an alias go; None where it is not here, or the caller names a version."""
        return (
            None
            if version is not None
            else self._by_alias.get((model, PRODUCTION if alias is None else alias))
        )

    def is_aliased(self, loaded: LoadedVersion) -> bool:
        """Whether an alias names it, so that it stays until ``left`` is called."""
        return self._aliased.get((loaded.model, loaded.version)) is loaded

    async def load(self, wanted: ResolvedVersion) -> LoadedVersion:
        """Loads a version unless it is here; callers who want it at the same time share one load.

        A version that failed is not tried again before its delay has passed, however many ask.

        Raises:
            DamagedSnapshot, Unavailable: it cannot be loaded.
        """
        key = key_of(wanted)
        found = self.held(wanted.model, version=wanted.version)
        if found is not None and found.digest == wanted.digest:
            return found
        if (failed := self._failures.get(key)) is not None and time.monotonic() < failed.retry_at:
            raise failed.raised()
        task = self._loads.get(key)
        if task is None:
            task = self._loads[key] = asyncio.create_task(self._load(wanted))
            # Where every caller has hung up, nobody else looks at the error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._changed()
        return await asyncio.shield(task)

    def want(self, wanted: Mapping[Name, ResolvedAlias]) -> None:
        """Takes what each alias is to answer from; it goes on answering as it does until ``serve``."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed()

    def serve(self, route: Route) -> None:
        """Lets its versions answer for the alias from now on; what answered before ends with its last request."""
        self._swap({**self._by_alias, (route.wanted.model, route.wanted.alias): route})

    def forget(self, names: Collection[Name]) -> None:
        """Aliases that exist no longer."""
        if names:
            self._swap({name: route for name, route in self._by_alias.items() if name not in names})

    def drop(self, keys: Collection[Key]) -> None:
        """Versions that exist no longer; requests under way keep them to their end."""
        for key in keys:
            model, version, digest = key
            if (held := self._on_demand.get((model, version))) is not None and held.digest == digest:
                del self._on_demand[model, version]
            self._failures.pop(key, None)
        if keys:
            self._changed()

    @contextmanager
    def streaming(self, loaded: LoadedVersion) -> Iterator[None]:
        """Counts a stream that only this version may go on with, also after its connection has broken.

        ``leases`` tells of it; it is no change that would have to be told at once, as most streams are short.
        """
        key = key_of(loaded)
        self._streams[key] += 1
        try:
            yield
        finally:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]

    def leases(self) -> list[ServingLease]:
        """What is here or streams are on, what is being loaded and what could not be; one entry per version."""
        names: dict[Number, list[str]] = {}
        missed: dict[Number, list[str]] = {}
        for (model, alias), route in self._by_alias.items():
            for loaded in route.targets:
                names.setdefault((model, loaded.version), []).append(alias)
            if route.wanted == self._wanted.get((model, alias)):  # or else nobody waits for what is missing
                for version in route.missing:
                    missed.setdefault((model, version), []).append(alias)
        held = {
            number: loaded.digest for number, loaded in [*self._aliased.items(), *self._on_demand.items()]
        }
        held |= {(model, version): digest for model, version, digest in self._streams}
        found = {
            number: ServingLease(
                *number,
                digest,
                ServingState.AVAILABLE,
                aliases=tuple(sorted(names.get(number, ()))),
                streams=self._streams[*number, digest],
            )
            for number, digest in held.items()
        }
        for model, version, digest in self._loads:
            found.setdefault((model, version), ServingLease(model, version, digest, ServingState.LOADING))
        for (model, version, digest), failed in self._failures.items():
            message = failed.error.message
            if aliases := missed.get((model, version)):
                message += f" Until then the other versions answer its users of {', '.join(sorted(aliases))}."
            lease = ServingLease(model, version, digest, ServingState.FAILED, failed.error.reason, message)
            if held.get((model, version), digest) == digest:
                found.setdefault((model, version), lease)
            else:  # another snapshot has the number now, and the one that had it before still answers
                found[model, version] = replace(lease, aliases=found[model, version].aliases)
        return [found[number] for number in sorted(found)]

    async def close(self) -> None:
        """Stops what is being loaded."""
        tasks = list(self._loads.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _resolve(self, model: str, version: int | None, alias: str | None, user_id: str) -> ResolvedVersion:
        """Asks the registry. Blocks."""
        if version is not None or alias == LATEST:
            return self._registry.models.resolve(model, version=version, alias=alias)
        named = self._registry.aliases.resolve(model, PRODUCTION if alias is None else alias)
        return resolved_for(named, user_id)

    async def _load(self, wanted: ResolvedVersion) -> LoadedVersion:
        key = key_of(wanted)
        try:
            loaded = await self._executors.loading(self._loader.load, wanted)
        except RegistryError as error:
            self._note_failure(wanted, error)
            raise
        except Exception as error:
            error_id = uuid4().hex
            _log.exception("load failed", model=wanted.model, version=wanted.version, error_id=error_id)
            unavailable = Unavailable(
                f"Version {wanted.version} of model {wanted.model} could not be loaded. "
                f"The server's log says why under the id {error_id}.",
                metadata={"model": wanted.model, "version": str(wanted.version), "error_id": error_id},
            )
            self._note_failure(wanted, unavailable)
            raise unavailable from error
        finally:
            del self._loads[key]
            self._changed()
        self._failures.pop(key, None)
        self._keep(loaded)
        _log.info("loaded", model=wanted.model, version=wanted.version, digest=wanted.digest)
        return loaded

    def _note_failure(self, wanted: ResolvedVersion, error: RegistryError) -> None:
        key = key_of(wanted)
        before = self._failures.pop(key, None)
        delay = FIRST_RETRY_SECONDS if before is None else min(2 * before.delay, LAST_RETRY_SECONDS)
        if isinstance(error, Unavailable):
            error.retry_seconds = delay
        self._failures[key] = LoadFailure(wanted, error, delay, time.monotonic() + delay)
        while len(self._failures) > _FAILURES_KEPT:
            del self._failures[next(iter(self._failures))]
        _log.error(
            "version cannot be loaded",
            model=wanted.model,
            version=wanted.version,
            reason=error.reason,
            message=error.message,
            retry_in_seconds=delay,
        )

    def _keep(self, loaded: LoadedVersion) -> None:
        self._on_demand[loaded.model, loaded.version] = loaded
        size = sum(version.snapshot.size_bytes for version in self._on_demand.values())
        while len(self._on_demand) > self._max_versions or (
            len(self._on_demand) > 1 and size > self._max_bytes
        ):
            _, dropped = self._on_demand.popitem(last=False)
            size -= dropped.snapshot.size_bytes

    def _swap(self, by_alias: dict[Name, Route]) -> None:
        changed = [before for name, before in self._by_alias.items() if by_alias.get(name) is not before]
        left = {loaded.digest for before in changed for loaded in before.versions}
        self._by_alias = MappingProxyType(by_alias)
        self._shadowed = {name: route for name, route in by_alias.items() if route.shadow is not None}
        self._aliased = {
            (loaded.model, loaded.version): loaded for route in by_alias.values() for loaded in route.versions
        }
        for number in self._aliased:
            self._on_demand.pop(number, None)
        if left:
            self._left(left)
        self._changed()


def key_of(version: ResolvedVersion | LoadedVersion) -> Key:
    return (version.model, version.version, version.digest)
