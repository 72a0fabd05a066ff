"""Callers who ask for recommendations without a pause, and what they were answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np

from mfserve import Client
from mfserve.types import Recommendations
from tests.integration.oracle import Oracle
from tests.integration.samples import USERS
from tests.waiting import eventually

CALLERS = 8
LIMIT = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller got, from which server."""

    address: str
    user: str
    recommendations: Recommendations

    @property
    def version(self) -> int:
        return self.recommendations.served_version.version


@dataclass(frozen=True, slots=True)
class Load:
    """All answers so far, in about the order in which they came."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def versions(self) -> set[tuple[str, int]]:
        """Which server has answered from which version."""
        return {(answer.address, answer.version) for answer in self.answers}

    def until_answered_by(self, version: int, addresses: Sequence[str]) -> None:
        """Until each server answers from the version, and from no other any more."""

        def settled() -> bool:
            latest = self.answers[-200:]
            return all(
                len(found) > 10 and set(found) == {version}
                for address in addresses
                for found in [[answer.version for answer in latest if answer.address == address]]
            )

        eventually(settled, f"version {version} answers")

    def until_more(self, count: int, addresses: Sequence[str]) -> None:
        """Until each server has answered so many calls more."""
        start = len(self.answers)

        def answered() -> bool:
            since = [answer.address for answer in self.answers[start:]]
            return all(since.count(address) >= count for address in addresses)

        eventually(answered, f"{count} more calls are answered")

    def check(self, oracles: Mapping[int, Oracle]) -> None:
        """Each answer is that of the version that it names, computed in another way."""
        expected = {
            (version, user): oracle.recommend(user, LIMIT)
            for version, oracle in oracles.items()
            for user in USERS
        }
        for answer in self.answers:
            found = [item.item_id for item in answer.recommendations]
            assert found == expected[answer.version, answer.user]


@contextmanager
def asked_by_many(model: str, addresses: Sequence[str]) -> Iterator[Load]:
    """Calls from ``CALLERS`` threads, spread over the servers. Fails at the end if a call has failed."""
    load = Load()
    done = threading.Event()

    def call(number: int, address: str) -> None:
        random = np.random.default_rng(number)
        with Client(address) as client:
            while not done.is_set():
                user = USERS[random.integers(len(USERS))]
                load.answers.append(Answer(address, user, client.recommend(model, user, limit=LIMIT)))

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(call, *each) for each in enumerate(islice(cycle(addresses), CALLERS))]
        try:
            yield load
        finally:
            done.set()
        for caller in callers:
            caller.result()
