"""``mfserve bench``: what it measures against a real server, and how."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve import AsyncClient, Credentials
from mfserve._client import model_service
from mfserve._client.calls import Backoff
from mfserve._client.peer import Peer
from mfserve._client.sync_transport import Transport
from mfserve.cli import _bench
from mfserve.cli._latencies import PERCENTILES, histogram, percentile, summary
from mfserve.cli._load import Load, put
from mfserve.errors import UnavailableError
from mfserve.v1 import model_service_pb2 as pb
from tests.client.cli.conftest import Run
from tests.client.services import Served
from tests.integration.service import RunningService, running_service
from tests.waiting import eventually

SHORT = ("bench", "movies", "--seconds", "0.2", "--warm-up", "0")

latencies = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300).map(sorted)


def test_both_parts_are_measured(run: Run) -> None:
    told = json.loads(run(*SHORT, "--concurrency", "3", "--limit", "2", "--json").out)
    calls, latency = told["recommend"], told["recommend"]["latency_ms"]
    assert told["complete"]
    assert told["served_version"]["version"] == 1
    assert (told["limit"], told["users"], calls["concurrency"]) == (2, 7, 3)
    assert calls["calls"] == sum(part["calls"] for part in calls["histogram_ms"]) > 0
    assert calls["calls_per_second"] == pytest.approx(calls["calls"] / calls["seconds"])
    assert list(latency) == ["p50", "p90", "p99", "p99.9", "max", "mean"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
    assert (calls["failures"], calls["unsent"]) == ({}, 0)
    assert told["bulk"]["users_per_second"] == pytest.approx(told["bulk"]["users"] / told["bulk"]["seconds"])


def test_a_person_gets_tables_and_a_picture(run: Run) -> None:
    shown = run(*SHORT, "--version", "2").out
    for words in ("movies version 2, 10 items", "calls per second", "p99.9", "█", "users per second"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 80 + len("Bulk stream, 256 users a message")


def test_one_part_alone_for_users_from_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("u1\n\nné\n", "utf-8")
    told = json.loads(run(*SHORT, "--only", "bulk", "--user-ids", str(file), "--json").out)
    assert told["users"] == 2
    assert "recommend" not in told
    assert told["bulk"]["users"] > 0


def test_every_call_that_is_due_is_sent_or_counted(run: Run) -> None:
    told = json.loads(run(*SHORT, "--only", "recommend", "--rate", "100", "--json").out)
    assert told["recommend"]["calls"] + told["recommend"]["unsent"] == 20


@pytest.fixture
def after_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Has something done just before a `recommend` call of the measurement, counted from 1."""

    def arrange(number: int, act: Callable[[], object]) -> None:
        recommend, calls = AsyncClient.recommend, count(1)

        async def counted(self: AsyncClient, *args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                act()
            return await recommend(self, *args, **kwargs)

        monkeypatch.setattr(AsyncClient, "recommend", counted)

    return arrange


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's processes may ignore it
    yield
    signal.signal(signal.SIGINT, before)


LONG = ("bench", "movies", "--seconds", "600", "--warm-up", "0", "--concurrency", "1")


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_shows_what_there_is(run: Run, after_calls: Any) -> None:
    after_calls(20, lambda: signal.raise_signal(signal.SIGINT))
    ended = run(*LONG, "--json")
    told = json.loads(ended.out)
    assert ended.code == 130
    assert (told["complete"], told["recommend"]["calls"], told["bulk"]["users"]) == (False, 19, 0)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_shows_it_to_a_person_too(run: Run, after_calls: Any) -> None:
    after_calls(20, lambda: signal.raise_signal(signal.SIGINT))
    ended = run(*LONG)
    assert ended.code == 130
    assert "ended before its time" in ended.out
    assert "(19 in " in ended.out
    assert "p99.9" in ended.out


@pytest.fixture
def passing_server(service: RunningService) -> Iterator[RunningService]:
    """A server of its own on the same home, which the test may end: a call that goes on then has a second left."""
    with running_service(service.home, "--no-trainer", MFSERVE_DRAIN_SECONDS="1") as passing:
        yield passing


def end(server: RunningService) -> None:
    server.process.terminate()
    server.process.wait()


def test_a_server_that_goes_away_leaves_what_was_measured(
    run: Run, after_calls: Any, passing_server: RunningService
) -> None:
    after_calls(20, lambda: end(passing_server))
    ended = run(*LONG, "--address", passing_server.address, "--timeout", "3", "--json")
    told = json.loads(ended.out)
    assert ended.code == 1
    assert (told["complete"], told["recommend"]["calls"], told["recommend"]["failures"]) == (False, 19, {})
    assert ended.err.startswith("error: the server went away meanwhile: ")
    assert ended.err.count("\n") == 1


def test_a_bulk_stream_whose_server_goes_away_leaves_what_was_measured(
    run: Run, monkeypatch: pytest.MonkeyPatch, passing_server: RunningService
) -> None:
    monkeypatch.setattr(Backoff, "ATTEMPTS", 2)
    looks = count(1)

    def clock() -> float:  # it is looked at before each user is sent
        if next(looks) == 200:
            end(passing_server)
        return time.perf_counter()

    monkeypatch.setattr(_bench, "perf_counter", clock)
    only = ["--seconds", "600", "--warm-up", "0", "--only", "bulk", "--batch-size", "1"]
    ended = run("bench", "movies", *only, "--address", passing_server.address)
    assert ended.code == 1
    assert "ended before its time" in ended.out
    assert "users per second" in ended.out
    assert ended.err.startswith("error: the bulk stream ended: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing"], 1, "nothing"),
        (["movies", "--version", "9"], 1, "9"),
        (["movies", "--user-ids", "no/such/file"], 1, "cannot read no/such/file"),
        (["movies", "--user-ids", "/dev/null"], 1, "no users"),
        (["movies", "--only", "bulk", "--rate", "5"], 2, "--rate is for calls"),
        (["movies", "--only", "bulk", "--concurrency", "8"], 2, "--concurrency is for calls"),
        (["movies", "--only", "recommend", "--batch-size", "64"], 2, "--batch-size is for the bulk stream"),
        (["movies", "--address", "127.0.0.1:1"], 1, "mfserve serve"),
        (["movies", "--concurrency", "0"], 2, "--concurrency"),
        (["movies", "--seconds", "0"], 2, "--seconds"),
        (["movies", "--rate", "0"], 2, "--rate"),
        (["movies", "--limit", "1001"], 2, "--limit"),
        (["movies", "--batch-size", "5000"], 2, "--batch-size"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    run: Run, arguments: list[str], code: int, says: str
) -> None:
    ended = run("bench", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_users_are_read_from_a_server_no_further_than_needed() -> None:
    ended: list[bool] = []

    def embeddings(request: pb.GetEmbeddingsRequest, context: Any) -> Iterator[pb.GetEmbeddingsResponse]:
        context.add_callback(lambda: ended.append(True))
        while True:
            yield pb.GetEmbeddingsResponse(ids=["a", "b", "c"])

    served = Served({"GetEmbeddings": embeddings})
    transport = Transport(Peer(served.address, Credentials()), 10.0)
    try:
        users = transport.download(model_service.first_users("movies", 5, None, None), None)
        assert users == ["a", "b", "c", "a", "b"]
        eventually(lambda: ended, "the call is cancelled")
    finally:
        transport.close()
        served.stop()


async def test_with_a_rate_a_latency_counts_from_when_the_call_was_due() -> None:
    load, stops = Load(), iter([0.1])

    async def call() -> None:
        time.sleep(next(stops, 0.0))  # noqa: ASYNC251 - a server that stops for everybody

    await put(load, call, callers=1, seconds=0.1, rate=50)
    # Of the five calls due at 0, 20, … 80 ms the first one takes 100 ms, and then no time is left.
    assert (len(load.latencies), load.unsent) == (1, 4)
    load, stops = Load(), iter([0.05])
    await put(load, call, callers=1, seconds=0.1, rate=50)
    assert len(load.latencies) + load.unsent == 5
    assert load.latencies[1] >= 0.03


async def test_a_call_that_fails_is_counted_by_what_is_said_of_it() -> None:
    load, answers = Load(), iter([None, UnavailableError("gone\naway"), None])

    async def call() -> None:
        if error := next(answers, None):
            raise error

    await put(load, call, callers=1, seconds=0.01)
    assert load.failures == {"gone away": 1}
    assert len(load.latencies) >= 2


@given(latencies)
def test_percentiles_are_those_of_numpy(ordered: list[float]) -> None:
    for percent in PERCENTILES:
        assert percentile(ordered, percent) == np.percentile(ordered, percent, method="inverted_cdf")
    assert summary(ordered)["mean"] == pytest.approx(np.mean(ordered))


@given(latencies)
def test_every_latency_is_in_the_bin_that_holds_it(ordered: list[float]) -> None:
    bins = histogram(ordered)
    assert 1 <= len(bins) <= 16
    assert [above for above, _, _ in bins[1:]] == [up_to for _, up_to, _ in bins[:-1]]
    assert sum(calls for _, _, calls in bins) == len(ordered)
    for above, up_to, calls in bins:
        inside = sum(above < value <= up_to for value in ordered)
        # What lies on an outermost edge may be outside by a rounding error of the edge.
        assert abs(calls - inside) == 0 or (above, up_to, calls) in (bins[0], bins[-1])
