"""Which calls a client makes: at random, and by what it has learnt so far."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.registry.histories.checker import Operation

ALIASES = ("canary", "stable")
VERSIONS = 3


class AliasCalls:
    """Moves of two aliases, most of them from the revision that was seen last."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._seen = dict.fromkeys(ALIASES, 0)

    def next(self) -> Operation:
        alias = self._chance.choice(ALIASES)
        seen = max(self._seen[alias] - (self._chance.random() < 0.1), 0)
        [what] = self._chance.choices(["get", "set", "roll back", "delete"], [4, 6, 3, 1])
        match what:
            case "get":
                return what, alias
            case "set":
                return what, alias, self._chance.randint(1, VERSIONS), seen
            case "roll back":
                return what, alias, self._chance.choice([seen, None])
            case _:
                return what, alias, seen

    def learn(self, operation: Operation, answer: Any) -> None:
        first, second = answer
        revision = first if isinstance(first, int) else second
        self._seen[operation[1]] = revision or 0


class JobCalls:
    """Trainings asked for, looked at, cancelled, and worked on by the same clients."""

    def __init__(self, chance: Random, requests: int) -> None:
        self._chance = chance
        self._requests = [f"r{number}" for number in range(requests)]
        self._known: set[str] = set()
        self._claimed: list[tuple[str, int]] = []

    def next(self) -> Operation:
        submit = "submit", self._chance.choice(self._requests)
        [what] = self._chance.choices(["submit", "get", "cancel", "claim", "end"], [4, 3, 2, 4, 3])
        if what == "claim":
            return (what,)
        if what in {"get", "cancel"} and self._known:
            return what, self._chance.choice(sorted(self._known))
        if what == "end" and self._claimed:
            at = self._chance.randrange(len(self._claimed))
            return self._chance.choice(["release", "fail"]), *self._claimed.pop(at)
        return submit

    def learn(self, operation: Operation, answer: Any) -> None:
        if operation[0] == "claim" and answer is not None:
            self._claimed.append(answer)
            self._known.add(answer[0])
        elif operation[0] == "submit":
            self._known.add(operation[1])
