"""Every metric, with every value that a label can have, and its place in a page of numbers.

The names, labels and buckets are an interface: dashboards and alerts are built on them. Labels have few values, all of
them known here, so that no caller can make more series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import inf, prod

from grpc import StatusCode

from mfserve.v1 import (
    error_reason_pb2,
    model_service_pb2,
    recommendation_service_pb2,
    training_service_pb2,
)

DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, inf)
"""Seconds."""
QUESTIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, inf)

SERVICES = [
    service
    for file in (recommendation_service_pb2, training_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = tuple(f"{service.name}/{method.name}" for service in SERVICES for method in service.methods)
CODES = tuple(code.name for code in sorted(StatusCode, key=lambda code: code.value[0]))
REASONS = tuple(name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:])
KINDS = ("asking", "managing", "streaming")


class Kind(StrEnum):
    """How the numbers of several processes become one, and what becomes of those of a process that has ended."""

    COUNTER = "counter"
    GAUGE = "gauge"
    EARLIEST = "earliest"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: without the endings that Prometheus adds (``_total``, ``_bucket``).
        kind: of a gauge the sum over the live processes is told, of a time the earliest of theirs, or nothing where
            none has one, and of the others the sum over all that ever lived.
        help: what it says.
        labels: names of labels, each with its values.
        buckets: of a histogram, the upper bounds; the last is infinite.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Numbers for each combination of labels: of a histogram one for each bucket, then the sum."""
        return len(self.buckets) + 1 if self.buckets else 1

    @property
    def size(self) -> int:
        return self.width * prod(len(values) for _, values in self.labels)

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Values of the labels, in the order of their numbers."""
        return product(*(values for _, values in self.labels))

    def place(self, *values: str) -> int:
        """Where the numbers of these labels begin, counted from the metric's own beginning."""
        number = 0
        for (_, known), value in zip(self.labels, values, strict=True):
            number = number * len(known) + known.index(value)
        return number * self.width


REQUESTS = Metric(
    "mfserve_requests",
    Kind.COUNTER,
    "Calls that have ended, by status.",
    (("method", METHODS), ("code", CODES)),
)
DURATION = Metric(
    "mfserve_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a call's arrival to its end; of a stream, its whole life.",
    (("method", METHODS),),
    DURATIONS,
)
IN_FLIGHT = Metric("mfserve_requests_in_flight", Kind.GAUGE, "Calls that have not ended.", (("kind", KINDS),))
QUEUED = Metric("mfserve_requests_queued", Kind.GAUGE, "Calls that wait for a place.", (("kind", KINDS),))
ERRORS = Metric(
    "mfserve_errors", Kind.COUNTER, "Calls that were refused or failed, by reason.", (("reason", REASONS),)
)
STREAM_USERS = Metric("mfserve_stream_users", Kind.COUNTER, "Users whom bulk streams were sent answers for.")
KEPT_REPLIES = Metric(
    "mfserve_kept_replies",
    Kind.COUNTER,
    "Calls whose reply was kept from an earlier one (hit), or was not (miss).",
    (("result", ("hit", "miss")),),
)
SEARCH_DURATION = Metric(
    "mfserve_search_duration_seconds",
    Kind.HISTOGRAM,
    "Time that a search of a large catalogue takes from any item all the way round to it.",
    buckets=DURATIONS,
)
SEARCH_QUESTIONS = Metric(
    "mfserve_search_questions",
    Kind.HISTOGRAM,
    "Calls that are in one search of a large catalogue together, when some of them are answered.",
    buckets=QUESTIONS,
)
VERSIONS = Metric(
    "mfserve_versions",
    Kind.GAUGE,
    "Versions in the server processes; one that two hold counts twice.",
    (("state", ("loading", "available", "failed")),),
)
SWAPS = Metric(
    "mfserve_alias_swaps", Kind.COUNTER, "Times that a server process let an alias lead elsewhere."
)
REGISTRY_LOST = Metric(
    "mfserve_registry_lost", Kind.GAUGE, "Server processes that the registry's database does not answer."
)
CALLERS_OUTDATED = Metric(
    "mfserve_callers_outdated",
    Kind.GAUGE,
    "Server processes that go on with the callers they knew, as the file that names them cannot be used.",
)
CERTIFICATE_EXPIRES = Metric(
    "mfserve_certificate_expires_timestamp_seconds",
    Kind.EARLIEST,
    "When the certificate expires that callers are shown.",
)

METRICS: Sequence[Metric] = (
    REQUESTS,
    DURATION,
    IN_FLIGHT,
    QUEUED,
    ERRORS,
    STREAM_USERS,
    KEPT_REPLIES,
    SEARCH_DURATION,
    SEARCH_QUESTIONS,
    VERSIONS,
    SWAPS,
    REGISTRY_LOST,
    CALLERS_OUTDATED,
    CERTIFICATE_EXPIRES,
)
"""Those of server processes, in the order of a page."""

BEGINNINGS = {
    metric.name: sum(before.size for before in METRICS[:number]) for number, metric in enumerate(METRICS)
}
SIZE = sum(metric.size for metric in METRICS)
"""Numbers of a page."""
