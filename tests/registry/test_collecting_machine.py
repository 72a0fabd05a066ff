"""Random lives of a registry, with publishers and collections that die anywhere, against a model of a few lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import event

from mfserve_registry import Artifact, Retention
from mfserve_registry.snapshot import verify_snapshot
from tests.places import Place
from tests.registry.collecting import kept, needed
from tests.registry.helpers import Clock, claimed, request, stage

HOUR = timedelta(hours=1)


class Crash(BaseException):
    """The process is no more."""


class CollectionMachine(RuleBasedStateMachine):
    """One model: what its versions are made of, and what production named from when on."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(Path(self.folder.name))
        self.clock = Clock()
        self.registry = self.place.open(clock=self.clock)
        self.versions: dict[int, int] = {}
        self.past: list[tuple[datetime, int]] = []
        self.published = self.begun = 0

    def teardown(self) -> None:
        self.registry.close()
        self.folder.cleanup()

    @rule(seed=st.integers(0, 3), steps=st.none() | st.integers(0, 5))
    def publish(self, seed: int, steps: int | None) -> None:
        self.begun += 1
        claim = claimed(self.registry, request(f"r{self.begun}"))
        files = [Artifact("a.txt", "text/plain", str(seed).encode())]
        staged, digest = stage(self.registry, seed)
        try:
            with self.dying(steps):
                version = self.registry.publish(claim, staged, digest, files).version
        except Crash:
            self.registry.jobs.fail(claim, "X", "x", retry=False)
            return
        self.published += 1
        assert version == self.published
        self.versions[version] = seed
        if version == 1:
            self.past.append((self.clock.now, 1))

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        self.registry.promote("movies", version)
        self.past.append((self.clock.now, version))

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        if version != self.past[-1][1]:
            self.registry.models.delete_version("movies", version)
            del self.versions[version]

    @rule(
        keep_last=st.none() | st.integers(1, 3),
        named_within=st.sampled_from([timedelta(), 2 * HOUR]),
        steps=st.none() | st.integers(0, 6),
    )
    def collect(self, keep_last: int | None, named_within: timedelta, steps: int | None) -> None:
        retention = Retention(keep_last=keep_last, named_within=named_within, grace=timedelta())
        before = self.registry.collect(retention, dry_run=True)
        with suppress(Crash), self.dying(steps):
            self.registry.collect(retention)
        self.look()
        assert self.registry.collect(retention).freed_bytes <= before.freed_bytes
        if keep_last is not None and self.published:
            spared = self.spared(keep_last, named_within)
            self.versions = {version: seed for version, seed in self.versions.items() if version in spared}
        assert kept(self.place) == needed(self.registry)

    @rule()
    def wait(self) -> None:
        self.clock.advance(HOUR)

    @invariant()
    def look(self) -> None:
        """Whatever happened, every version is whole, with its artifact."""
        if not self.published:
            return
        listed = {each.version: each for each in self.registry.models.list_versions("movies").items}
        assert set(listed) <= set(self.versions)
        for version, info in listed.items():
            verify_snapshot(self.registry.snapshots.path(info.digest), info.digest)
            artifact = self.registry.artifacts.read("movies", version, "a.txt")[1]
            assert artifact == str(self.versions[version]).encode()

    def spared(self, keep_last: int, named_within: timedelta) -> set[int]:
        """The newest, what production names and named, and what it would go back to."""
        newest = sorted(self.versions)[-keep_last:]
        until = [*(at for at, _ in self.past[1:]), self.clock.now]
        since = self.clock.now - named_within
        lately = {version for (_, version), end in zip(self.past, until, strict=True) if end >= since}
        now = self.past[-1][1]
        back = [version for _, version in self.past if version != now][-1:]
        return {*newest, *lately, *back, now}

    @contextmanager
    def dying(self, steps: int | None) -> Iterator[None]:
        """Crashes after so many steps of those that change the store or end a transaction; None: not at all."""
        store, engine = self.registry._store, self.registry._database.engine
        left = steps

        def step(*_: object) -> None:
            nonlocal left
            if left == 0:
                raise Crash
            left = None if left is None else left - 1

        def stepwise(do: Callable[..., None]) -> Callable[..., None]:
            def both(*arguments: Any, **options: Any) -> None:
                step()
                do(*arguments, **options)
                step()

            return both

        event.listen(engine, "commit", step)
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name in ("put", "remove"):
                    patch.setattr(store, name, stepwise(getattr(store, name)))
                yield
        finally:
            event.remove(engine, "commit", step)


TestCollectionMachine = CollectionMachine.TestCase
TestCollectionMachine.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
