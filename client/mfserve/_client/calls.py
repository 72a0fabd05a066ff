"""Calls as values: what to send, and what to make of the answer. The clients only await them, or do not."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from mfserve._client.channel import Stubs
from mfserve._client.handshakes import HandshakeError
from mfserve.errors import DeadlineExceededError, MfserveError, UnavailableError

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")

DEFAULT_ADDRESS = "127.0.0.1:50051"

DEFAULT_TIMEOUT = 10.0
"""Seconds for a call with one answer."""

TRANSFER_TIMEOUT = 600.0
"""Seconds for an upload or a download."""

WATCH_SECONDS = 60.0
"""A watch is begun anew after this time, so that a server which hangs is noticed."""

BULK_SECONDS = 300.0
"""The same for a bulk stream; longer, because whoever reads it may take long over a batch."""

END_SECONDS = 1.0
"""Longest wait for a server to end a stream of which all has been answered."""


@dataclass(frozen=True, slots=True)
class Unary(Generic[Request, Response, Result]):
    """One request, one answer."""

    method: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Request, Response]]
    request: Request
    decode: Callable[[Response], Result]


@dataclass(frozen=True, slots=True)
class Download(Generic[Request, Response, Result]):
    """One request, an answer in parts; begun again from the start where the connection breaks."""

    method: Callable[[Stubs], grpc.UnaryStreamMultiCallable[Request, Response]]
    request: Request
    decode: Callable[[Iterable[Response]], Result]


@dataclass(frozen=True, slots=True)
class Paged(Generic[Request, Response, Result]):
    """A list in pages."""

    method: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Request, Response]]
    request: Callable[[str], Request]
    """From a page token."""
    decode: Callable[[Response], tuple[list[Result], str]]
    """Into the entries and the token of the next page, empty after the last one."""

    def page(self, token: str) -> Unary[Request, Response, tuple[list[Result], str]]:
        """The call for one page."""
        return Unary(self.method, self.request(token), self.decode)


_LONGEST = 1e9
"""Seconds, some 30 years. Grpc takes a deadline of centuries for one that has passed."""


def grpc_timeout(seconds: float) -> float | None:
    """Grpc's form of a timeout, where None stands for no deadline."""
    return None if seconds > _LONGEST else max(seconds, 0.0)


class Deadline:
    """A point in time until which something made of several calls must be done; ``None``: never."""

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._end = time.monotonic() + self._seconds

    @property
    def remaining(self) -> float:
        """Seconds left, not below 0; infinite without a deadline."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining <= 0

    def exceeded(self, what: str) -> DeadlineExceededError:
        """The error for something that was not done in time."""
        return DeadlineExceededError(f"{what} within {self._seconds:g} s")


class Backoff:
    """How long to wait before something that broke is tried again, and when to give up.

    0.1 s, doubling up to 2 s, 10 times in a row: about 13 s, in which a server process restarts. ``reset`` after
    each success. Waits are shortened at random, so that many clients do not come back at the same moment.
    """

    ATTEMPTS = 10

    def __init__(self, deadline: Deadline | None = None) -> None:
        self._deadline = deadline or Deadline(None)
        self._failures = 0

    def reset(self) -> None:
        """Something worked."""
        self._failures = 0

    def after(self, error: MfserveError) -> float:
        """Seconds to wait after this error; raises it where trying again is no use."""
        # A server that hung until the connection's time was over has had its chance: three times are enough.
        self._failures += 4 if isinstance(error, DeadlineExceededError) else 1
        if self._failures > self.ATTEMPTS or not worth_repeating(error, self._deadline):
            raise error
        longest = min(0.1 * 2.0 ** (self._failures - 1), 2.0)
        # Not for secrets: any jitter will do.
        wait = longest * random.uniform(0.5, 1.0)  # noqa: S311
        return min(wait, self._deadline.remaining)


def worth_repeating(error: MfserveError, deadline: Deadline) -> bool:
    """Whether the same call may work soon: the connection broke, the server drains, or a stream's turn was over."""
    if deadline.passed:
        return False
    if isinstance(error, DeadlineExceededError):
        return True  # only this connection's time was over
    if isinstance(error, HandshakeError) and error.is_certain:
        return False
    # With another reason, such as a damaged snapshot, the server is there and will say the same again.
    return isinstance(error, UnavailableError) and error.reason in {"", "UNAVAILABLE"}
