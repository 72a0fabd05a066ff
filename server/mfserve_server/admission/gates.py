"""Which calls share their places: those of one kind cannot take them from another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.descriptor import MethodDescriptor

from mfserve.v1 import recommendation_service_pb2
from mfserve_registry.errors import ResourceExhausted
from mfserve_server.admission.gate import Gate
from mfserve_server.metrics.layout import QUEUED
from mfserve_server.metrics.page import Page
from mfserve_server.settings import Settings

MANAGED = 100
"""Calls about jobs, models and aliases that wait for the database at a time, and as many that wait for these."""

_ASKING = recommendation_service_pb2.DESCRIPTOR.services_by_name["RecommendationService"].full_name


class Gates:
    """The places of one server process.

    Those who manage models find places however many ask for recommendations. What nobody needs a token for, to watch
    health and to ask for the protos, takes none of what callers need; and a health check needs no place.
    """

    def __init__(self, settings: Settings, page: Page) -> None:
        delay = settings.max_delay_seconds

        def gate(kind: str, name: str, places: int, queue: int) -> Gate:
            return Gate(kind, name, places, queue, delay, page.gauge(QUEUED, kind).set)

        self.asking = gate("asking", "calls", settings.max_concurrent_calls, settings.max_queued_calls)
        self.managing = gate("managing", "calls about models and jobs", MANAGED, MANAGED)
        self.streaming = gate("streaming", "streams", settings.max_concurrent_streams, 0)
        self.public = Gate("public", "streams without a token", settings.max_concurrent_streams, 0, delay)
        self._most_streams = settings.max_streams_per_caller
        self._streams: Counter[str] = Counter()

    def of(self, method: MethodDescriptor) -> Gate:
        if method.client_streaming or method.server_streaming:
            return self.streaming
        return self.asking if method.containing_service.full_name == _ASKING else self.managing

    @contextmanager
    def stream_of(self, caller: str) -> Iterator[None]:
        """ResourceExhausted: TOO_MANY_STREAMS where the caller has as many as one may have."""
        if self._streams[caller] >= self._most_streams:
            raise ResourceExhausted(
                f"One caller may have {self._most_streams} streams at a time on a server process; end one first.",
                reason="TOO_MANY_STREAMS",
            )
        self._streams[caller] += 1
        try:
            yield
        finally:
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]
