"""What a call passes before its method: who calls, how often, and whether there is a place for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mfserve_server.admission.gates import Gates
from mfserve_server.admission.rates import Rates
from mfserve_server.errors import Failure
from mfserve_server.metrics.meter import Meter
from mfserve_server.metrics.page import Page
from mfserve_server.request_log import RequestLog
from mfserve_server.security.access import Caller
from mfserve_server.security.guard import Context, Guard
from mfserve_server.security.scopes import NOBODY, RULES
from mfserve_server.security.visit import Visit
from mfserve_server.tracing import CallTraces

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

Check = Callable[[Message], Awaitable[None]]
"""Whether the caller may ask this; an error where not."""


class Entrance:
    """One for all methods of a server process.

    Args:
        gates: the places.
        guard: knows callers; None: everybody may come in.
        rates: counts the calls of those who may make so many; None where there is no guard.
        idle_seconds: how long a stream may wait for its caller.
        page: where calls are counted.
        log_share: of the calls has a line in the log.
        traces: where calls are spans; None: nowhere.
    """

    def __init__(
        self,
        gates: Gates,
        guard: Guard | None,
        rates: Rates | None,
        idle_seconds: float,
        page: Page,
        log_share: float = 0.0,
        traces: Traces | None = None,
    ) -> None:
        self.gates = gates
        self.guard = guard
        self.rates = rates
        self.idle_seconds = idle_seconds
        self.page = page
        self.log_share = log_share
        self.traces = traces

    def door(self, method: MethodDescriptor) -> Door:
        return Door(self, method)


class Door:
    """The way in to one method.

    Attributes:
        name: the method's full name.
        request_class: of its requests.
        gate: its places; who takes one leaves it.
        meter: counts its calls.
        idle_seconds: how long a stream may wait for its caller.
        traces: of its calls, if there are any.
    """

    def __init__(self, entrance: Entrance, method: MethodDescriptor) -> None:
        self._gates, self._guard, self._rates = entrance.gates, entrance.guard, entrance.rates
        self._rule = RULES.get(method.full_name, NOBODY)
        self.name = method.full_name
        self.request_class = GetMessageClass(method.input_type)
        self.gate = entrance.gates.of(method)
        self.meter = Meter(entrance.page, method, self.gate.kind)
        self.idle_seconds = entrance.idle_seconds
        self._log = RequestLog(method, entrance.log_share) if entrance.log_share else None
        self.traces = None if entrance.traces is None else CallTraces(entrance.traces, method)

    def identify(self, context: Context) -> Caller | None:
        """Who calls; None: anybody may. Unauthenticated where nobody knows."""
        return None if self._guard is None else self._guard.identify(context)

    def admit(self, caller: Caller | None) -> Check | None:
        """What is still to look at the request, if anything.

        Raises:
            Unauthenticated, PermissionDenied: as from the guard.
            Overloaded: RATE_LIMITED.
        """
        if self._guard is None or caller is None:
            return None
        self._guard.admit(caller, self._rule)
        if caller.calls_per_second is not None and self._rates is not None:
            self._rates.take(caller.name, caller.calls_per_second)
        return None if caller.models is None else partial(self._guard.check_model, caller, self._rule)

    @asynccontextmanager
    async def stream(self, context: Context, caller: Caller | None) -> AsyncIterator[Visit | None]:
        """The same for a stream, with a place for it, and with what is to look at each message, if anything.

        Raises:
            Unauthenticated, PermissionDenied, Overloaded: as above.
            ResourceExhausted: TOO_MANY_STREAMS.
        """
        self.admit(caller)
        visit = None
        if self._guard is not None and caller is not None:
            visit = Visit(self._guard, self._rule, context, caller)
        if (turn := self.gate.enter()) is not None:
            await turn
        try:
            with self._gates.stream_of(_host(context.peer()) if caller is None else caller.name):
                yield visit
        finally:
            self.gate.leave()

    def end(
        self,
        context: Context,
        begun: float,
        code: int,
        caller: Caller | None,
        response: bytes | None = None,
        told: Failure | None = None,
    ) -> None:
        """Counts a call that has ended, and perhaps logs and traces it."""
        seconds = self.meter.end(begun, code)
        name = None if caller is None else caller.name
        if self._log is not None and self._log.wants():
            self._log.tell(context, code, seconds, name, response, None if told is None else told.reason)
        if self.traces is not None:
            self.traces.tell(code, name, response)


def _host(peer: str) -> str:
    """Of ``ipv4:127.0.0.1:4711`` all but the port, of which one caller has many."""
    return peer.rpartition(":")[0] if peer.startswith("ip") else peer
