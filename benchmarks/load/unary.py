"""Recommend, ten items, rated ones left out: calls per second of one process on one core, and CPU time for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np

from benchmarks.load import contestants
from benchmarks.load.contestants import Contestant, Services
from benchmarks.load.cores import spending
from benchmarks.load.h2load import load
from benchmarks.load.oracle import Arrays
from benchmarks.load.stats import Figures, Rows, interleaved, ratio, table, with_spread

LIMIT = "the limit: a constant reply"
ALONE = "mfserve, no reply kept"
KNOWN = "the same with tokens and metrics"
KEPT = "mfserve, replies kept"
NAIVE = "naive: generated classes, argpartition"
MLSERVER = "MLServer, custom runtime"
CONNECTIONS = 8
ASK_SECONDS = 0.05


def measure(
    services: Services,
    home: Path,
    model: str,
    folder: Path,
    *,
    runs: int,
    rounds: int,
    seconds: float,
    peers: bool,
) -> Rows:
    """Every run has some rounds; each round loads with eight users drawn anew, the same for all contestants."""
    arrays = Arrays.published(home, model)
    path = folder / "arrays.npz"
    arrays.save(path)
    with ExitStack() as stack:
        server = stack.enter_context(contestants.plain(path))
        field: dict[str, Contestant] = {LIMIT: contestants.Limit(server)}
        known, token = contestants.with_callers(folder / "unary-callers.toml")
        for name, settings, shown in (
            (ALONE, contestants.NO_KEPT_REPLIES, None),
            (KNOWN, contestants.NO_KEPT_REPLIES | known, token),
            (KEPT, {}, None),
        ):
            ours = contestants.recommender(services.of(home, settings), model, arrays, shown)
            field[name] = stack.enter_context(ours)
        field[NAIVE] = stack.enter_context(contestants.recommender(server, model, arrays))
        if peers:
            field[MLSERVER] = stack.enter_context(contestants.mlserver(arrays, path))

        def runner(contestant: Contestant) -> Callable[[int], Figures]:
            def run(number: int) -> Figures:
                random = np.random.default_rng(number)
                users = random.choice(arrays.user_ids, (rounds, CONNECTIONS)).tolist()
                return _run(contestant, users, arrays.user_ids.tolist(), seconds)

            return run

        # Once for nothing: first calls, first pages, first replies.
        for contestant in field.values():
            load(
                contestant.server.address,
                contestant.calls(arrays.user_ids[:CONNECTIONS].tolist()),
                seconds,
            )
        return interleaved(runs, {name: runner(contestant) for name, contestant in field.items()})


def _run(
    contestant: Contestant, rounds: Sequence[Sequence[str]], everybody: Sequence[str], seconds: float
) -> Figures:
    calls = contestant.calls([user for users in rounds for user in users])
    rates, requests, wall, server, spent_on_load = [], 0, 0.0, 0.0, 0.0
    for first in range(0, len(calls), CONNECTIONS):
        with _asking(contestant, everybody), spending(contestant.server.pid) as spent:
            sent, rate = load(contestant.server.address, calls[first : first + CONNECTIONS], seconds)
        requests += sent
        rates.append(rate)
        wall, server, spent_on_load = wall + spent.wall, server + spent.server, spent_on_load + spent.load
    return {
        "rate": float(np.mean(rates)),
        "cpu_us": 1e6 * server / requests,
        "server_core": server / wall,
        "load_core": spent_on_load / wall,
    }


@contextmanager
def _asking(contestant: Contestant, users: Sequence[str]) -> Iterator[None]:
    """A real client asks for users drawn at random meanwhile, twenty times a second, and checks the items."""
    stop, failed = Event(), list[Exception]()
    random = np.random.default_rng()

    def ask() -> None:
        while not stop.wait(ASK_SECONDS):
            try:
                contestant.ask(str(random.choice(users)))
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                failed.append(error)
                return

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def tables(rows: Rows) -> str:
    """The comparison as Markdown."""

    def times(name: str, other: str) -> str:
        found = ratio(rows, name, other, "rate")
        return "" if found is None else f"{found:.2f}"

    lines = [
        [
            name,
            with_spread(figures["rate"]),
            f"{np.median(figures['cpu_us']):.0f}",
            times(name, LIMIT),
            times(name, MLSERVER),
            f"{np.median(figures['server_core']):.0%}".replace("%", " %"),
            f"{np.median(figures['load_core']):.0%}".replace("%", " %"),
        ]
        for name, figures in rows.items()
    ]
    columns = ["one process on one core", "calls/s", "CPU µs/call", "of the limit", "times MLServer"]
    found = table([*columns, "server's core", "load's core"], lines)
    rate, cpu = (ratio(rows, KNOWN, ALONE, figure) for figure in ("rate", "cpu_us"))
    return f"{found}\n\nWith tokens and metrics: {rate:.2f} of the calls/s without; CPU time of a call {cpu:.2f} times."
