"""Steady calls of Recommend, each at its time whether or not those before it have been answered (open loop)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import grpc.aio
import numpy as np

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""Of a channel whose connection no other channel of the process shares."""
_DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One call.

    Attributes:
        at: when it was due, by the monotonic clock; waiting for its turn counts as waiting.
        seconds: until its answer.
        version: which answered, or None where it failed.
    """

    at: float
    seconds: float
    version: int | None


@dataclass(slots=True)
class Traffic:
    """Calls to one model from one connection.

    Attributes:
        rate: calls a second.
        users: their users are u0 to u(users - 1), in random order.
    """

    address: str
    model: str
    users: int
    rate: float
    answered: list[Answered] = field(default_factory=list)
    _pending: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, until: asyncio.Event) -> None:
        """Calls until the event is set, and waits for the last answers."""
        random = np.random.default_rng(0)
        async with grpc.aio.insecure_channel(self.address, options=OPTIONS) as channel:
            call = RecommendationServiceStub(channel).Recommend
            due = time.monotonic()
            while not until.is_set():
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                request = pb.RecommendRequest(
                    model_spec=ModelSpec(model=self.model),
                    user_id=f"u{random.integers(self.users)}",
                    limit=10,
                )
                task = asyncio.create_task(self._call(call, request, due))
                self._pending.add(task)
                task.add_done_callback(self._pending.discard)
            await asyncio.gather(*self._pending)

    def between(self, start: float, end: float) -> list[Answered]:
        """Calls that were due in this time."""
        return [one for one in self.answered if start <= one.at < end]

    async def _call(
        self, call: Callable[..., Awaitable[pb.RecommendResponse]], request: pb.RecommendRequest, due: float
    ) -> None:
        version = None
        try:
            response: pb.RecommendResponse = await call(request, timeout=_DEADLINE)
            version = response.served_version.version
        except grpc.aio.AioRpcError:
            pass  # counted as failed
        self.answered.append(Answered(due, time.monotonic() - due, version))


def percentile_ms(calls: Iterable[Answered], percent: float) -> float:
    return round(1000 * float(np.percentile([one.seconds for one in calls], percent)), 2)


def latencies(calls: Sequence[Answered]) -> dict[str, float]:
    """Number of calls, failed ones, and percentiles in milliseconds."""
    return {
        "calls": len(calls),
        "failed": sum(one.version is None for one in calls),
        "p50_ms": percentile_ms(calls, 50),
        "p99_ms": percentile_ms(calls, 99),
        "max_ms": percentile_ms(calls, 100),
    }
