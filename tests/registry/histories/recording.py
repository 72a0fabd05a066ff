"""Clients in processes of their own, and the history of what they did and saw.

A client says what it is about to do before it does it, so that nothing is lost when it is killed: the call is in the
history then, without an end. Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from random import Random
from threading import Barrier

from tests.registry.histories.checker import Call, order_of
from tests.registry.histories.models import AliasModel, Queue, alias_step, queue_step
from tests.registry.histories.objects import NoAnswer, Opened
from tests.registry.histories.workloads import ALIASES, AliasCalls, JobCalls

# A process that has imported everything and makes the clients by forking: they start in no time.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["pytest", "mfserve_registry.store.bucket", "sqlalchemy.dialects.sqlite", "psycopg", __name__]
)

Strike = Callable[[BaseProcess], None]
"""Gets the process of the client that has just begun a call."""


@dataclass(frozen=True)
class Client:
    """What a client is to do.

    Attributes:
        opens: the registry or server that it calls.
        on: "aliases" or "jobs".
        seed: of its choices, with its name.
        calls: how many it makes.
    """

    name: str
    opens: Callable[[], AbstractContextManager[Opened]]
    on: str
    seed: int
    calls: int

    def run(self, environment: Mapping[str, str], told: Connection, together: Barrier) -> None:
        """Makes the calls, and tells of each when it begins and when it has ended."""
        os.environ.update(environment)
        chance = Random(f"{self.name} {self.seed}")
        calls = AliasCalls(chance) if self.on == "aliases" else JobCalls(chance, self.calls // 3)
        with self.opens() as called:
            perform = called.aliases if self.on == "aliases" else called.jobs
            together.wait(60)
            for _ in range(self.calls):
                call = Call(calls.next(), time.monotonic_ns(), caller=self.name)
                told.send(call)
                try:
                    answer = perform(call.operation)
                except NoAnswer:
                    continue
                told.send(replace(call, ended=time.monotonic_ns(), answer=answer))
                calls.learn(call.operation, answer)
            told.send(called.job_ids)


class History:
    """What the clients did.

    Attributes:
        begun: how many calls have begun.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._calls: dict[str, list[Call]] = {}
        self._job_ids: dict[str, set[str]] = {}

    @property
    def calls(self) -> list[Call]:
        return [call for calls in self._calls.values() for call in calls]

    def add(self, told: Call | Mapping[str, str]) -> None:
        """What a client tells."""
        if not isinstance(told, Call):
            for request_id, job_id in told.items():
                self._job_ids.setdefault(request_id, set()).add(job_id)
        elif told.ended is None:
            self.begun += 1
            self._calls.setdefault(told.caller, []).append(told)
        else:
            self._calls[told.caller][-1] = told

    def check(self, on: str) -> None:
        """Fails where no sequence of calls explains it. One alias has nothing to do with another: each has its own."""
        if on == "jobs":
            nothing: Queue = ()
            order_of(self.calls, nothing, queue_step)
            assert all(len(ids) == 1 for ids in self._job_ids.values())
        else:
            for alias in ALIASES:
                order_of(
                    [call for call in self.calls if call.operation[1] == alias], AliasModel(), alias_step
                )


def record(clients: Sequence[Client], strikes: Mapping[int, Strike] | None = None) -> History:
    """Lets the clients call, all at once.

    Args:
        strikes: what to do as soon as that many calls have begun.
    """
    together = _PROCESSES.Barrier(len(clients))
    running: dict[Connection, BaseProcess] = {}
    for client in clients:
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process: BaseProcess = _PROCESSES.Process(
            target=client.run, args=(_environment(), theirs, together), daemon=True
        )
        process.start()
        theirs.close()
        running[ours] = process
    history, strikes = History(), dict(strikes or {})
    while running:
        ready = wait(list(running))
        for told, process in list(running.items()):
            if told not in ready:
                continue
            try:
                history.add(told.recv())
            except EOFError:
                del running[told]
                told.close()
                process.join()
                assert process.exitcode in {0, -signal.SIGKILL}, "a client failed, see its traceback"
            else:
                if (strike := strikes.pop(history.begun, None)) is not None:
                    strike(process)
    return history


def kill(process: BaseProcess) -> None:
    """A strike: the client dies in the midst of its call."""
    process.kill()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "MFSERVE_"))}
