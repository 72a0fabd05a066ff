"""Counts the calls of one method."""

from __future__ import annotations

import time

from google.protobuf.descriptor import MethodDescriptor

from mfserve_server.metrics.layout import CODES, DURATION, ERRORS, IN_FLIGHT, REASONS, REQUESTS
from mfserve_server.metrics.page import Page

OK = CODES.index("OK")
CANCELLED = CODES.index("CANCELLED")
DEADLINE_EXCEEDED = CODES.index("DEADLINE_EXCEEDED")


class Meter:
    """Of one method. Each call begins and ends once.

    Args:
        kind: which of ``layout.KINDS`` it is.
    """

    def __init__(self, page: Page, method: MethodDescriptor, kind: str) -> None:
        name = f"{method.containing_service.name}/{method.name}"
        self._numbers = page.numbers
        self._in_flight = page.place(IN_FLIGHT, kind)
        self._ended = page.place(REQUESTS, name, CODES[0])
        self._errors = page.place(ERRORS, REASONS[0])
        self._duration = page.histogram(DURATION, name)

    def begin(self) -> float:
        """When it began, for ``end``."""
        self._numbers[self._in_flight] += 1
        return time.monotonic()

    def end(self, begun: float, code: int) -> float:
        """With a status, by its number. Returns the seconds since ``begun``."""
        numbers = self._numbers
        numbers[self._in_flight] -= 1
        numbers[self._ended + code] += 1
        seconds = time.monotonic() - begun
        self._duration.observe(seconds)
        return seconds

    def failed(self, reason: str) -> None:
        """For this reason, one of ``layout.REASONS``."""
        self._numbers[self._errors + REASONS.index(reason)] += 1
