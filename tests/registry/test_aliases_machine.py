"""Random histories of one model's versions and aliases against a model of a few lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mfserve_registry import AliasShadow, AliasState, AliasTarget
from mfserve_registry.errors import RegistryError
from tests.backends import place_of
from tests.places import Place
from tests.registry.helpers import Clock, publish

NAMES = st.sampled_from(["production", "canary"])
NOTHING = AliasState()


def states() -> st.SearchStrategy[AliasState]:
    """One to three of the versions 1 to 6, which need not exist, and perhaps a further one as the shadow."""

    def made(versions: list[int], weights: list[int], share: float | None) -> AliasState:
        *targets, last = versions
        if share is None or not targets:
            targets, shadow = versions, None
        else:
            shadow = AliasShadow(last, share)
        pairs = sorted(zip(targets, weights, strict=False), key=lambda pair: (-pair[1], pair[0]))
        return AliasState(tuple(AliasTarget(*pair) for pair in pairs), shadow)

    return st.builds(
        made,
        st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True),
        st.lists(st.integers(1, 100), min_size=3, max_size=3),
        st.none() | st.sampled_from([0.125, 1.0]),
    )


@dataclass
class Expected:
    """What an alias should be: all that it ever named, and the states that a rollback goes through."""

    past: list[tuple[AliasState, datetime]] = field(default_factory=list)
    undo: list[AliasState] = field(default_factory=list)

    @property
    def state(self) -> AliasState:
        return self.past[-1][0] if self.past else NOTHING

    @property
    def revision(self) -> int:
        """As a caller is to give it: 0 where the alias does not exist."""
        return len(self.past) if self.state is not NOTHING else 0


class AliasMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        home = Path(self.closing.enter_context(tempfile.TemporaryDirectory()))
        self.clock = Clock()
        place = self.closing.enter_context(self.place_of(home))
        self.registry = self.closing.enter_context(place.open(clock=self.clock))
        self.aliases = {"production": Expected(), "canary": Expected()}
        self.versions: set[int] = set()
        self.given = 0
        self.exists = False

    @staticmethod
    def place_of(home: Path) -> AbstractContextManager[Place]:
        raise NotImplementedError

    def teardown(self) -> None:
        self.closing.close()

    @rule(promote=st.none() | NAMES)
    def publish(self, promote: str | None) -> None:
        first = not self.versions
        self.given += 1
        version = publish(self.registry, f"r{self.given}", promote_to_alias=promote).version
        assert version == self.given
        self.exists = True
        self.versions.add(version)
        for alias in {promote, "production" if first else None} - {None}:
            self.becomes(str(alias), AliasState((AliasTarget(version, 1),)))

    @rule(alias=NAMES, wanted=states(), back=st.sampled_from([0, 0, 0, 1]))
    def set(self, alias: str, wanted: AliasState, back: int) -> None:
        known = self.aliases[alias]
        expected = max(known.revision - back, 0)
        refused = self.missing() or (
            "VERSION_NOT_FOUND"
            if not set(wanted.versions) <= self.versions
            else "REVISION_MISMATCH"
            if expected != known.revision
            else None
        )
        self.does(
            lambda: self.registry.aliases.set(
                "movies", alias, targets=wanted.targets, shadow=wanted.shadow, expected_revision=expected
            ),
            refused,
        )
        if refused is None:
            self.becomes(alias, wanted)

    @rule(alias=NAMES, back=st.sampled_from([0, 0, 1]))
    def delete_alias(self, alias: str, back: int) -> None:
        known = self.aliases[alias]
        refused = self.missing(alias) or ("REVISION_MISMATCH" if back else None)
        expected = max(known.revision - back, 0)
        self.does(lambda: self.registry.aliases.delete("movies", alias, expected_revision=expected), refused)
        if refused is None:
            known.past.append((NOTHING, self.clock.now))

    @rule(alias=NAMES)
    def roll_back(self, alias: str) -> None:
        known = self.aliases[alias]
        earlier = list(known.undo)
        while earlier and earlier[-1] == known.state:
            earlier.pop()
        refused = self.missing(alias) or (
            None if earlier and set(earlier[-1].versions) <= self.versions else "ROLLBACK_TARGET_MISSING"
        )
        self.does(lambda: self.registry.aliases.roll_back("movies", alias), refused)
        if refused is None:
            known.undo = earlier
            known.past.append((earlier[-1], self.clock.now))

    @rule(version=st.integers(1, 6))
    def delete_version(self, version: int) -> None:
        refused = self.missing() or (
            "VERSION_NOT_FOUND"
            if version not in self.versions
            else "VERSION_IN_USE"
            if any(version in alias.state.versions for alias in self.aliases.values())
            else None
        )
        self.does(lambda: self.registry.models.delete_version("movies", version), refused)
        if refused is None:
            self.versions.remove(version)

    @rule()
    def delete_model(self) -> None:
        named = any(alias.revision for alias in self.aliases.values())
        refused = self.missing() or ("MODEL_IN_USE" if named else None)
        self.does(lambda: self.registry.models.delete("movies"), refused)
        if refused is None:
            self.exists = False
            self.versions.clear()

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @precondition(lambda self: self.exists)
    @invariant()
    def the_model_is_as_expected(self) -> None:
        listed = self.registry.models.list_versions("movies").items
        assert {version.version for version in listed} == self.versions
        found = {alias.alias: (alias.state, alias.revision) for alias in self.registry.aliases.list("movies")}
        assert found == {
            name: (alias.state, alias.revision) for name, alias in self.aliases.items() if alias.revision
        }
        for version in listed:
            assert set(version.aliases) == {
                name for name, alias in self.aliases.items() if version.version in alias.state.versions
            }

    @invariant()
    def the_history_tells_it_all(self) -> None:
        for name, alias in self.aliases.items():
            if not alias.past:
                continue
            events = self.registry.aliases.events("movies", name).items[::-1]
            assert [(event.after, event.at) for event in events] == alias.past
            assert [event.before for event in events] == [NOTHING, *(event.after for event in events[:-1])]
            assert [event.revision for event in events] == list(range(1, len(events) + 1))

    def missing(self, alias: str | None = None) -> str | None:
        """Why there is nothing to ask for."""
        if not self.exists:
            return "MODEL_NOT_FOUND"
        return "ALIAS_NOT_FOUND" if alias is not None and not self.aliases[alias].revision else None

    def becomes(self, alias: str, state: AliasState) -> None:
        self.aliases[alias].past.append((state, self.clock.now))
        self.aliases[alias].undo.append(state)

    def does(self, call: Callable[[], object], refused: str | None) -> None:
        """Makes the call, which must be refused for the reason, or not at all."""
        if refused is None:
            call()
            return
        with pytest.raises(RegistryError) as caught:
            call()
        assert caught.value.reason == refused


@pytest.mark.parametrize(("kind", "examples"), [("sqlite-folder", 25), ("postgres-s3", 2)])
def test_whatever_happens_to_aliases(kind: str, examples: int, request: pytest.FixtureRequest) -> None:
    class There(AliasMachine):
        @staticmethod
        def place_of(home: Path) -> AbstractContextManager[Place]:
            return place_of(kind, home, request)

    run_state_machine_as_test(There, settings=settings(max_examples=examples, stateful_step_count=30))
