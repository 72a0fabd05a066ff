"""What is counted: names that are pinned, pages of several processes, and numbers that agree with what callers saw."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mfserve import Client
from mfserve.errors import NotFoundError, StatusError
from mfserve_registry import Registry
from mfserve_server.metrics.collector import Pages
from mfserve_server.metrics.layout import (
    CERTIFICATE_EXPIRES,
    CODES,
    DURATION,
    DURATIONS,
    IN_FLIGHT,
    METRICS,
    REQUESTS,
    SEARCH_QUESTIONS,
    SIZE,
    Metric,
)
from mfserve_server.metrics.page import Page, new_page
from tests.integration.service import RunningService, running_service
from tests.server.samples import publish
from tests.waiting import eventually

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def test_every_number_has_a_place_of_its_own() -> None:
    page = Page()
    places = [
        place + offset
        for metric in METRICS
        for values in metric.combinations()
        for place in [page.place(metric, *values)]
        for offset in range(metric.width)
    ]
    assert sorted(places) == list(range(SIZE))


def test_a_histogram_counts_where_its_bounds_say() -> None:
    page = Page()
    histogram = page.histogram(DURATION, "RecommendationService/Recommend")
    values = [0.0, 0.0005, 0.00051, 0.3, 10.0, 10.1, 1e9]
    for value in values:
        histogram.observe(value)
    start = page.place(DURATION, "RecommendationService/Recommend")
    found = list(page.numbers[start : start + DURATION.width])
    lower = 0.0
    for count, bound in zip(found, DURATIONS, strict=False):
        assert count == sum(
            lower < value <= bound or (bound == DURATIONS[0] and value == 0) for value in values
        )
        lower = bound
    assert found[-1] == pytest.approx(sum(values))


def test_pages_add_up_and_what_the_dead_have_counted_stays(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    paths = [new_page(tmp_path) for _ in range(3)]
    living = dict(enumerate(map(Page, paths), 1))
    for number in (1, 2):  # the third has no certificate
        _count(living[number], number)
    for _ in range(2):
        assert _sum(pages, REQUESTS) == 3
        assert _sum(pages, IN_FLIGHT) == 3
        assert _values(pages, CERTIFICATE_EXPIRES) == [1]
    del living[1]
    new_page(tmp_path).touch()  # just being made
    for _ in range(2):
        assert _sum(pages, REQUESTS) == 3
        assert _sum(pages, IN_FLIGHT) == 2
        assert _values(pages, CERTIFICATE_EXPIRES) == [2]
        assert not paths[0].exists()
    del living[2]
    assert _values(pages, CERTIFICATE_EXPIRES) == []


def _count(page: Page, number: int) -> None:
    page.counter(REQUESTS, "RecommendationService/Recommend", "OK").add(number)
    page.gauge(IN_FLIGHT, "asking").set(number)
    page.histogram(SEARCH_QUESTIONS).observe(number)
    page.gauge(CERTIFICATE_EXPIRES).set(number)


def _sum(pages: Pages, metric: Metric) -> float:
    return sum(_values(pages, metric))


def _values(pages: Pages, metric: Metric) -> list[float]:
    (family,) = [each for each in pages.collect() if each.name == metric.name]
    return [sample.value for sample in family.samples]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("metrics") / "home"
    with Registry.open(home) as registry:
        publish(registry)
    with running_service(home, "--no-trainer", "--workers", "4", "--metrics-port", "0") as running:
        yield running


def scraped(service: RunningService) -> Samples:
    with urllib.request.urlopen(
        f"http://{service.listens('exports metrics')}/metrics", timeout=30
    ) as response:
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_names_that_dashboards_are_built_on(service: RunningService) -> None:
    with Client(service.address) as client, pytest.raises(NotFoundError):
        client.recommend("nobody", "u1")
    # A worker counts a call right after its caller has the answer.
    eventually(lambda: told(service, {}).total(), "the call is counted")
    names = {name for name, _ in scraped(service)}
    assert names == {
        "mfserve_alias_swaps_total",
        "mfserve_callers_outdated",
        "mfserve_errors_total",
        "mfserve_jobs",
        "mfserve_kept_replies_total",
        "mfserve_oldest_pending_job_seconds",
        "mfserve_registry_lost",
        "mfserve_request_duration_seconds_bucket",
        "mfserve_request_duration_seconds_count",
        "mfserve_request_duration_seconds_sum",
        "mfserve_requests_in_flight",
        "mfserve_requests_queued",
        "mfserve_requests_total",
        "mfserve_search_duration_seconds_bucket",
        "mfserve_search_duration_seconds_count",
        "mfserve_search_duration_seconds_sum",
        "mfserve_search_questions_bucket",
        "mfserve_search_questions_count",
        "mfserve_search_questions_sum",
        "mfserve_stream_users_total",
        "mfserve_versions",
        "mfserve_worker_restarts_total",
        "mfserve_workers",
    }


def test_they_are_equal_to_what_callers_saw(service: RunningService) -> None:
    before = scraped(service)
    with ThreadPoolExecutor(16) as pool:
        seen = sum(pool.map(mixed_calls, [service.address] * 16, range(16)), Counter[tuple[str, str]]())
    assert seen.total() == 10_000
    # A worker counts a call right after its caller has the answer.
    eventually(lambda: told(service, before).total() >= seen.total(), "all calls are counted")
    assert told(service, before) == seen
    after = scraped(service)
    for kind in ("asking", "managing", "streaming"):
        assert after["mfserve_requests_in_flight", (("kind", kind),)] == 0
    assert after["mfserve_workers", ()] == 4
    assert _grown("mfserve_stream_users_total", before, after) == 16 * 30
    for (method, _), count in seen.items():
        if method == "ModelService/ListModels":
            grown = _grown("mfserve_request_duration_seconds_count", before, after, method=method)
            assert grown == count


def mixed_calls(address: str, number: int) -> Counter[tuple[str, str]]:
    """625 calls of several kinds, some of them wrong; how each ended, by method."""
    seen: Counter[tuple[str, str]] = Counter()

    def call(method: str, made: Callable[..., object], *arguments: object) -> None:
        try:
            made(*arguments)
        except StatusError as error:
            seen[method, error.code] += 1
        else:
            seen[method, "OK"] += 1

    with Client(address) as client:
        for turn in range(207):
            call("RecommendationService/Recommend", client.recommend, "movies", f"u{turn % 7}")
            call("RecommendationService/PredictRating", client.predict_rating, "movies", "u1", "i1")
            wrong = ("nobody", "u1") if turn % 2 else ("movies", "")
            call("RecommendationService/Recommend", client.recommend, *wrong)
        for _ in range(3):
            call("ModelService/ListModels", lambda: list(client.list_models()))
        users = [f"u{number % 7}" for number in range(30)]
        call("RecommendationService/StreamRecommend", lambda: list(client.stream_recommend("movies", users)))
    return seen


def told(service: RunningService, before: Samples) -> Counter[tuple[str, str]]:
    """The calls that have ended since, by method and status."""
    grown: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in scraped(service).items():
        if name == "mfserve_requests_total" and value > before.get((name, labels), 0):
            of = dict(labels)
            grown[of["method"], of["code"]] = int(value - before.get((name, labels), 0))
    return grown


def _grown(name: str, before: Samples, after: Samples, **labels: str) -> float:
    key = (name, tuple(sorted(labels.items())))
    return after[key] - before.get(key, 0)


def test_the_codes_are_those_of_grpc() -> None:
    assert [grpc.StatusCode[name].value[0] for name in CODES] == list(range(17))
