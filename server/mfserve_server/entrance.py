"""What a call passes before its method: who calls, how often, and whether there is a place for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mfserve_registry.errors import RegistryError
from mfserve_server.admission.gates import Gates
from mfserve_server.admission.rates import Rates
from mfserve_server.metrics.meter import Meter
from mfserve_server.metrics.page import Page
from mfserve_server.request_log import RequestLog
from mfserve_server.security.access import Caller
from mfserve_server.security.guard import Context, Guard
from mfserve_server.security.scopes import NOBODY, RULES
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

    def end(self, context: Context, begun: float, code: int, response: bytes | None = None) -> None:
        """Counts a call that has ended, and perhaps logs and traces it."""
        seconds = self.meter.end(begun, code)
        if self._log is not None and self._log.wants():
            self._log.tell(context, code, seconds, self._name_of(context), response)
        if self.traces is not None:
            self.traces.tell(code, self._name_of(context), response)

    def identify(self, context: Context) -> Check | None:
        """What is still to look at the request, if anything.

        Raises:
            Unauthenticated, PermissionDenied: as from the guard.
            Overloaded: RATE_LIMITED.
        """
        return self._check(self._caller(context))

    @asynccontextmanager
    async def stream(self, context: Context) -> AsyncIterator[Check | None]:
        """The same, with a place for a stream; ResourceExhausted: TOO_MANY_STREAMS."""
        caller = self._caller(context)
        if (turn := self.gate.enter()) is not None:
            await turn
        try:
            with self._gates.stream_of(_host(context.peer()) if caller is None else caller.name):
                yield self._check(caller)
        finally:
            self.gate.leave()

    def _name_of(self, context: Context) -> str | None:
        try:
            return None if self._guard is None else self._guard.caller(self._rule, context).name
        except RegistryError:  # it has been told so
            return None

    def _caller(self, context: Context) -> Caller | None:
        if self._guard is None:
            return None
        caller = self._guard.caller(self._rule, context)
        if caller.calls_per_second is not None and self._rates is not None:
            self._rates.take(caller.name, caller.calls_per_second)
        return caller

    def _check(self, caller: Caller | None) -> Check | None:
        if self._guard is None or caller is None or caller.models is None:
            return None
        return partial(self._guard.check_model, caller, self._rule)


def _host(peer: str) -> str:
    """Of ``ipv4:127.0.0.1:4711`` all but the port, of which one caller has many."""
    return peer.rpartition(":")[0] if peer.startswith("ip") else peer
