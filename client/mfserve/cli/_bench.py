"""``mfserve bench``: how fast a server answers for a model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, takewhile
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from mfserve import AsyncClient
from mfserve._client import model_service
from mfserve._client.bulk import BATCH_SIZE
from mfserve._client.peer import Peer
from mfserve._client.sync_transport import Transport
from mfserve.cli import _load as load
from mfserve.cli import _options as options
from mfserve.cli._latencies import histogram, summary
from mfserve.cli._output import CommandError, UsageError, as_json, console, line, plain, table
from mfserve.cli._progress import passing
from mfserve.cli._server import Server
from mfserve.errors import DeadlineExceededError, MfserveError, UnavailableError
from mfserve.types import ServedVersion

_MOST_USERS = 10_000
_CALLERS = 8
_LONGEST_BAR = 30
_BESIDE_BARS = 24
"""Columns of the terminal that the two numbers before a bar take at most, with their lines."""


class Part(StrEnum):
    """What can be measured alone."""

    RECOMMEND = "recommend"
    BULK = "bulk"


class _ServerGoneError(Exception):
    """The server has gone, or drains; no MfserveError, which is a call that failed."""


@dataclass(slots=True)
class Bulk:
    """What a bulk stream has brought so far."""

    users: int = 0
    seconds: float = 0.0

    @property
    def users_per_second(self) -> float:
        """Users whose recommendations arrived."""
        return self.users / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Bench:
    """What to measure, and what has been measured so far."""

    server: Server
    model: str
    users: Sequence[str]
    served_version: ServedVersion
    callers: int
    seconds: float
    warm_up: float
    rate: float | None
    batch_size: int
    parts: Sequence[Part]
    arguments: dict[str, Any]
    """Of ``recommend`` and ``stream_recommend``: limit and version or alias."""
    recommend: load.Load = field(default_factory=load.Load)
    bulk: Bulk = field(default_factory=Bulk)

    @property
    def any_answer(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.recommend.latencies or self.bulk.users)

    async def run(self) -> CommandError | KeyboardInterrupt | None:
        """Measures one part after the other; gives back what ended it before its time, if anything did."""
        ended: CommandError | KeyboardInterrupt | None = None
        try:
            async with self.server.async_client() as client:
                for part in self.parts:
                    measure = self._recommend if part is Part.RECOMMEND else self._bulk
                    await passing("warm up", self.warm_up, measure(client, load.Load(), Bulk(), self.warm_up))
                    await passing(
                        part.value, self.seconds, measure(client, self.recommend, self.bulk, self.seconds)
                    )
        except* asyncio.CancelledError:  # Ctrl-C
            ended = KeyboardInterrupt()
        except* _ServerGoneError as gone:  # one for each of those who called
            ended = CommandError(str(gone.exceptions[0]))
        except* MfserveError as error:  # of the bulk stream; calls that fail are counted
            ended = CommandError(f"the bulk stream ended: {error.exceptions[0]}")
        return ended

    async def _recommend(self, client: AsyncClient, into: load.Load, _: Bulk, seconds: float) -> None:
        pick = random.Random(0)  # noqa: S311 - any draw will do

        async def call() -> None:
            try:
                await client.recommend(self.model, pick.choice(self.users), **self.arguments)
            except (UnavailableError, DeadlineExceededError) as error:
                # Where nobody is there, more calls measure nothing, and each would wait for its whole timeout.
                if not await client.ready():
                    raise _ServerGoneError(f"the server went away meanwhile: {error}") from error
                raise

        await load.put(into, call, callers=self.callers, seconds=seconds, rate=self.rate)

    async def _bulk(self, client: AsyncClient, _: load.Load, into: Bulk, seconds: float) -> None:
        begin = perf_counter()
        users = takewhile(lambda _: perf_counter() < begin + seconds, cycle(self.users))
        async with client.stream_recommend(
            self.model, users, batch_size=self.batch_size, predicted_ratings=False, **self.arguments
        ) as stream:
            async for batch in stream.batches():
                into.users += len(batch)
                into.seconds = perf_counter() - begin


def bench(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    *,
    callers: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "-c",
            min=1,
            max=1024,
            help="Calls under way at the same time.",
            show_default=str(_CALLERS),
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="How long to measure, each of the two parts.")
    ] = 10.0,
    warm_up: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds of the same load before each, not counted.")
    ] = 1.0,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=1e6,
            help="Calls per second to send whether or not the answers keep up. A latency then counts from the time at "
            "which the call was due.",
            show_default="each caller calls again as soon as it is answered",
        ),
    ] = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    user_ids: Annotated[
        Path | None,
        typer.Option(
            help="File with the users to ask for, an id a line.",
            show_default="the model's own",
            readable=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Users in a message of the bulk stream.", show_default=str(BATCH_SIZE)
        ),
    ] = None,
    only: Annotated[Part | None, typer.Option(help="The only part to measure.", show_default="both")] = None,
    version: options.Version = None,
    alias: options.Alias = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Measure how fast a server answers: latencies of `recommend` and the rate of the bulk stream.

    Users are drawn at random. The times are those of a program in Python that uses the SDK, which is itself at work for
    a part of each: one such process may not be able to keep a server busy. Ctrl-C ends the measurement and shows what
    there is, and so does a server that goes away.
    """
    if only is Part.BULK:
        _refuse("calls", {"--concurrency": callers, "--rate": rate})
    if only is Part.RECOMMEND:
        _refuse("the bulk stream", {"--batch-size": batch_size})
    chosen = {"limit": limit, **options.choice(version, alias)}
    with server.client() as client:
        # First, as this call does not wait for a server that is not there.
        client.get_version(model, **options.choice(version, alias))
        users = _first_users(server, model, version, alias) if user_ids is None else _read(user_ids)
        if not users:
            raise CommandError(f"there are no users to ask for in {model if user_ids is None else user_ids}")
        # What is wrong with the arguments is said here, and not once for each call.
        answer = client.recommend(model, users[0], **chosen)
        made = Bench(
            server=server,
            model=model,
            users=users,
            served_version=answer.served_version,
            callers=callers or _CALLERS,
            seconds=seconds,
            warm_up=warm_up,
            rate=rate,
            batch_size=batch_size or BATCH_SIZE,
            parts=[only] if only else list(Part),
            arguments=chosen,
        )
        ended = asyncio.run(made.run())
    if ended is None and made.recommend.failures and not made.recommend.latencies:
        ended = CommandError(f"no call was answered: {next(iter(made.recommend.failures))}")
    if json or made.any_answer:
        (as_json if json else _show)(_figures(made, complete=ended is None))
    if ended is not None:
        raise ended


def _refuse(what: str, options: dict[str, Any]) -> None:
    """An option of the part that is not measured would have no effect."""
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"{option} is for {what}, which --only leaves out")


def _first_users(server: Server, model: str, version: int | None, alias: str | None) -> list[str]:
    transport = Transport(Peer.of(server.address, server.credentials), server.patience)
    try:
        return transport.download(
            model_service.first_users(model, _MOST_USERS, version, alias), server.patience
        )
    finally:
        transport.close()


def _read(path: Path) -> list[str]:
    try:
        return [user for user in path.read_text("utf-8").splitlines() if user]
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"cannot read {path}: it is not text in UTF-8") from error


def _figures(made: Bench, *, complete: bool) -> dict[str, Any]:
    """What --json prints; latencies in milliseconds."""
    found: dict[str, Any] = {"served_version": made.served_version, "complete": complete}
    found |= {"users": len(made.users), "limit": made.arguments["limit"]}
    ordered = sorted(made.recommend.latencies)
    if Part.RECOMMEND in made.parts:
        found["recommend"] = {
            "concurrency": made.callers,
            "rate": made.rate,
            "seconds": made.recommend.seconds,
            "calls": len(ordered),
            "calls_per_second": made.recommend.calls_per_second,
            "unsent": made.recommend.unsent,
            "failures": made.recommend.failures,
            "latency_ms": {name: 1000 * value for name, value in summary(ordered).items()}
            if ordered
            else None,
            "histogram_ms": [
                {"above": 1000 * lower, "up_to": 1000 * upper, "calls": calls}
                for lower, upper, calls in (histogram(ordered) if ordered else ())
            ],
        }
    if Part.BULK in made.parts:
        found["bulk"] = {
            "batch_size": made.batch_size,
            "seconds": made.bulk.seconds,
            "users": made.bulk.users,
            "users_per_second": made.bulk.users_per_second,
        }
    return found


def _show(found: dict[str, Any]) -> None:
    served = found["served_version"]
    line(
        f"[bold]{plain(served.model)} version {served.version}[/], {found['limit']} items each for users drawn from "
        f"{found['users']:,}"
    )
    if not found["complete"]:
        line("[bold]The measurement ended before its time[/]: this is what there is.")
    if (told := found.get("recommend")) and told["calls"]:
        _show_calls(told)
    if (told := found.get("bulk")) and told["users"]:
        line(
            f"Bulk stream, {told['batch_size']} users a message: {told['users_per_second']:,.0f} users per second "
            f"({told['users']:,} in {told['seconds']:.1f} s)"
        )


def _show_calls(told: dict[str, Any]) -> None:
    mode = "" if told["rate"] is None else f", {told['rate']:g} calls due per second"
    line(
        f"Recommend, concurrency {told['concurrency']}{mode}: {told['calls_per_second']:,.0f} calls per second "
        f"({told['calls']:,} in {told['seconds']:.1f} s)"
    )
    latency = told["latency_ms"]
    table(
        "Latency in milliseconds", [f"{name}#" for name in latency], [[*map(_milliseconds, latency.values())]]
    )
    _draw(told["histogram_ms"])
    if told["unsent"]:
        line(
            f"[bold]{told['unsent']:,} calls were due and could not be sent[/]: "
            "--rate is more than the server and --concurrency allow"
        )
    for reason, count in told["failures"].items():
        line(f"[bold red]{count:,} calls failed[/]: {plain(reason)}")


def _draw(bins: Sequence[dict[str, Any]]) -> None:
    most = max(one["calls"] for one in bins)
    block = "#" if console().options.ascii_only else "█"
    longest = max(min(_LONGEST_BAR, console().width - _BESIDE_BARS), 1)
    table(
        "How many took how long",
        ("up to ms#", "calls#", ""),
        (
            (_milliseconds(one["up_to"]), f"{one['calls']:,}", block * round(longest * one["calls"] / most))
            for one in bins
        ),
    )


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
