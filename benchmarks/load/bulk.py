"""StreamRecommend, ten items, no predicted ratings: users per second from one process on one core to one client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from threading import Semaphore
from time import perf_counter

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.load import contestants
from benchmarks.load.contestants import Services
from benchmarks.load.cores import spending
from benchmarks.load.oracle import Arrays
from benchmarks.load.serving import Serving
from benchmarks.load.stats import Figures, Rows, interleaved, ratio, table, with_spread
from mfserve import Client
from mfserve.types import Recommendation, RecommendationBatch
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb

STREAM = "/mfserve.v1.RecommendationService/StreamRecommend"
STUB = "mfserve, received by a bare stub"
KNOWN = "the same with a token and metrics"
ROWS = "mfserve, SDK: ten objects a user"
ARRAYS = "mfserve, SDK: NumPy arrays"
NAIVE = "naive, nothing left out, by a bare stub"
LIMIT = "the limit: a constant batch, by a bare stub"
IN_FLIGHT = 16
"""Batches that the bare stub has sent and not seen answered: flow control alone would let it send for seconds."""
CHECKED = 20
"""Users of each run whose items are compared with the right ones."""

Found = Iterator[tuple[int, Callable[[], Iterator[tuple[str, Sequence[str]]]]]]
"""Of each batch that arrived: how many users, and what gives them and their items, for a check off the clock."""


def measure(
    services: Services,
    home: Path,
    models: Sequence[str],
    folder: Path,
    *,
    runs: int,
    seconds: float,
    batch_sizes: Sequence[int],
) -> dict[str, Rows]:
    """By model and batch size: ``{"movies, 256 users a message": rows}``."""
    found = {}
    settings, token = contestants.with_callers(folder / "bulk-callers.toml")
    ours, guarded = services.of(home, {}), services.of(home, settings)
    for model in models:
        arrays = Arrays.published(home, model)
        path = folder / f"{model}.npz"
        arrays.save(path)
        with contestants.plain(path) as plain:
            for size in batch_sizes:
                field = _field(ours, guarded, token, plain, model, arrays, size)
                for receive in field.values():
                    receive(seconds / 4, -1)
                rows = interleaved(runs, {name: _run(receive, seconds) for name, receive in field.items()})
                found[f"{model}, {size} users a message"] = rows
    return found


Receive = Callable[[float, int], Figures]


def _run(receive: Receive, seconds: float) -> Callable[[int], Figures]:
    return lambda number: receive(seconds, number)


def _field(
    ours: Serving, guarded: Serving, token: str, plain: Serving, model: str, arrays: Arrays, size: int
) -> dict[str, Receive]:
    def timed(
        server: Serving,
        receive: Callable[[Iterator[list[str]]], Found],
        *,
        seen: bool = False,
        check: bool = True,
    ) -> Receive:
        def run(seconds: float, number: int) -> Figures:
            random = np.random.default_rng(number + 1)
            batches = random.choice(arrays.user_ids, (64, size)).tolist()
            with spending(server.pid) as spent:
                last, users, took = _read(receive(_until(batches, seconds)))
            if check:
                _check(arrays, last, seen=seen)
            return {
                "users_per_second": users / took,
                "cpu_us": 1e6 * spent.server / users,
                "server_core": spent.server / spent.wall,
                "load_core": spent.load / spent.wall,
            }

        return run

    return {
        LIMIT: timed(plain, lambda users: stub(plain, f"/Limit/Stream{size}", model, users), check=False),
        STUB: timed(ours, lambda users: stub(ours, STREAM, model, users)),
        KNOWN: timed(guarded, lambda users: stub(guarded, STREAM, model, users, token)),
        ARRAYS: timed(ours, lambda users: as_arrays(ours, model, users, size)),
        ROWS: timed(ours, lambda users: as_rows(ours, model, users, size)),
        NAIVE: timed(plain, lambda users: stub(plain, STREAM, model, users), seen=True),
    }


def _until(batches: Sequence[list[str]], seconds: float) -> Iterator[list[str]]:
    """The batches over and over, until the time is over."""
    end = perf_counter() + seconds
    while True:
        for batch in batches:
            if perf_counter() >= end:
                return
            yield batch


def _read(found: Found) -> tuple[list[tuple[str, Sequence[str]]], int, float]:
    """A batch's items, the users that arrived, and the seconds from the first batch's arrival to the last one's."""
    _, look = next(found)
    began, users = perf_counter(), 0
    for number, look in found:  # noqa: B007 - the last one is looked at
        users += number
    took = perf_counter() - began
    return list(look()), users, took


def _check(arrays: Arrays, batch: list[tuple[str, Sequence[str]]], *, seen: bool) -> None:
    for user, items in batch[:: max(1, len(batch) // CHECKED)]:
        arrays.check(user, items, seen=seen)


def stub(
    server: Serving, method: str, model: str, users: Iterator[list[str]], token: str | None = None
) -> Found:
    """By the generated classes alone. The answers come in the order of the batches."""
    config = pb.StreamRecommendConfig(
        model_spec=common_pb2.ModelSpec(model=model), limit=10, omit_predicted_ratings=True
    )
    metadata = None if token is None else (("authorization", f"Bearer {token}"),)
    sent: list[list[str]] = []
    room = Semaphore(IN_FLIGHT)

    def requests() -> Iterator[pb.StreamRecommendRequest]:
        yield pb.StreamRecommendRequest(config=config)
        for number, ids in enumerate(users, start=1):
            sent.append(ids)
            room.acquire()
            yield pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=number, user_ids=ids))

    with grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel:
        answers = channel.stream_stream(
            method, pb.StreamRecommendRequest.SerializeToString, pb.StreamRecommendResponse.FromString
        )(requests(), metadata=metadata)
        next(answers)
        for number, answer in enumerate(answers):
            room.release()
            batch = answer.batch
            yield len(batch.counts), partial(_of_message, batch, sent[number])


def _of_message(batch: pb.RecommendationBatch, users: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    indices = iter(batch.item_indices)
    for user, count in zip(users, batch.counts, strict=True):
        yield user, [batch.item_ids[next(indices)] for _ in range(count)]


def as_rows(server: Serving, model: str, users: Iterator[list[str]], size: int) -> Found:
    """Every Recommendation of every user is made."""
    with (
        Client(server.address) as client,
        client.stream_recommend(
            model, chain.from_iterable(users), limit=10, predicted_ratings=False, batch_size=size
        ) as rows,
    ):
        for row in rows:
            items = tuple(row)
            yield 1, partial(_of_row, row.user_id, items)


def _of_row(user: str, items: Sequence[Recommendation]) -> Iterator[tuple[str, Sequence[str]]]:
    yield user, [item.item_id for item in items]


def as_arrays(server: Serving, model: str, users: Iterator[list[str]], size: int) -> Found:
    """The columns of each batch as NumPy arrays."""
    with (
        Client(server.address) as client,
        client.stream_recommend(
            model, chain.from_iterable(users), limit=10, predicted_ratings=False, batch_size=size
        ) as stream,
    ):
        for batch in stream.batches():
            columns = [np.asarray(column) for column in (batch.item_indices, batch.scores, batch.offsets)]
            yield len(batch), partial(_of_columns, batch, *columns)


def _of_columns(
    batch: RecommendationBatch,
    indices: NDArray[np.uint32],
    scores: NDArray[np.float32],
    offsets: NDArray[np.int64],
) -> Iterator[tuple[str, Sequence[str]]]:
    ids = np.array(batch.item_ids)
    assert len(scores) == len(indices) == offsets[-1]
    for user, first, last in zip(batch.user_ids, offsets, offsets[1:], strict=False):
        yield user, ids[indices[first:last]].tolist()


def tables(found: dict[str, Rows]) -> str:
    """One table for each model and batch size, as Markdown."""
    return "\n\n".join(f"{title}:\n\n{_table(rows)}" for title, rows in found.items())


def _table(rows: Rows) -> str:
    columns = [
        "one process on one core",
        "users/s",
        "server: CPU µs/user",
        "times naive",
        "server's core",
        "client's core",
    ]
    return table(
        columns,
        [
            [
                name,
                with_spread(figures["users_per_second"]),
                f"{median(figures['cpu_us']):.1f}",
                f"{ratio(rows, name, NAIVE, 'users_per_second') or 0:.2f}",
                *(f"{median(figures[core]):.0%}".replace("%", " %") for core in ("server_core", "load_core")),
            ]
            for name, figures in rows.items()
        ],
    )
