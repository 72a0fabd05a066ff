"""How often a caller may call, counted by several processes together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry.errors import Overloaded
from mfserve_server.admission import rates
from mfserve_server.admission.rates import BURST_SECONDS, Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    return clock


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[Rates]]:
    found = [Rates(tmp_path / "rates") for _ in range(2)]
    yield found
    for each in found:
        each.close()


def taken(processes: list[Rates], caller: str, per_second: float, calls: int) -> int:
    """How many of so many calls are let through; the processes get them in turns."""
    let_through = 0
    for number in range(calls):
        try:
            processes[number % len(processes)].take(caller, per_second)
        except Overloaded:
            continue
        let_through += 1
    return let_through


def test_a_burst_then_the_rate_over_all_processes(processes: list[Rates], clock: Clock) -> None:
    burst = 10 * BURST_SECONDS
    assert taken(processes, "shop", 10.0, 100) == pytest.approx(burst, abs=1)
    for _ in range(50):
        clock.now += 0.05
        taken(processes, "other", 10.0, 3)
    let_through = 0
    for _ in range(200):
        clock.now += 0.05
        let_through += taken(processes, "shop", 10.0, 4)
    # Of the first 2.5 silent seconds a burst is left; then as many as the rate allows in 10 s.
    assert let_through == pytest.approx(100 + burst, abs=1)


def test_who_is_refused_is_told_when_the_next_call_passes(processes: list[Rates], clock: Clock) -> None:
    taken(processes, "shop", 4.0, 100)
    with pytest.raises(Overloaded) as caught:
        processes[1].take("shop", 4.0)
    assert caught.value.reason == "RATE_LIMITED"
    clock.now += caught.value.retry_seconds - 1e-6
    with pytest.raises(Overloaded):
        processes[0].take("shop", 4.0)
    clock.now += 2e-6
    processes[0].take("shop", 4.0)
