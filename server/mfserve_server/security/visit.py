"""A stream's caller, for as long as the stream lasts."""

from __future__ import annotations

from google.protobuf.message import Message

from mfserve_server.security.access import Caller
from mfserve_server.security.guard import Context, Guard
from mfserve_server.security.scopes import Rule


class Visit:
    """Lets a stream go on, message by message, while its caller may do what it does.

    Args:
        guard: has let the caller in.
        rule: of the method.
        context: of the stream.
        caller: who began it.
    """

    def __init__(self, guard: Guard, rule: Rule, context: Context, caller: Caller) -> None:
        self._guard = guard
        self._rule = rule
        self._context = context
        self._caller = caller
        self._access = guard.access
        self._about: Message | None = None

    async def hear(self, request: Message) -> None:
        """A request has come, of which the first says what the stream is about; raises as the guard does."""
        if self._about is None:
            self._about = request
            await self._guard.check_model(self._caller, self._rule, request)
        await self.go_on()

    async def go_on(self) -> None:
        """Looks at the caller again where the file of callers has been read since, or its time is over.

        Raises:
            Unauthenticated, PermissionDenied: as from the guard.
        """
        access = self._guard.access
        if access is self._access and not self._caller.is_over:
            return
        caller = self._guard.identify(self._context)
        self._guard.admit(caller, self._rule)
        if self._about is not None:
            await self._guard.check_model(caller, self._rule, self._about)
        self._caller, self._access = caller, access
