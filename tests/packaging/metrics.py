"""Every metric as a scrape tells it, and what a PromQL expression asks for that no scrape tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import promql_parser
from prometheus_client.core import Metric
from promql_parser import AggregateExpr, Expr, MatchOp, VectorSelector

from mfserve_registry import JobState, Registry
from mfserve_server.metrics.children_numbers import ChildrenNumbers
from mfserve_server.metrics.collector import Pages
from mfserve_server.metrics.layout import METRICS
from mfserve_server.metrics.registry_numbers import RegistryNumbers

ENDINGS = {
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ["_bucket", "_count", "_sum"],
    "summary": ["_count", "_sum"],
}
"""What Prometheus' text format adds to the name of a metric of each kind."""
OF_TARGETS = {"instance", "job"}
"""Labels that Prometheus adds to what it fetches."""


@dataclass(frozen=True, slots=True)
class Told:
    """One metric.

    Attributes:
        name: without endings.
        labels: with their values where these are known; None where callers name them.
    """

    name: str
    kind: str
    help: str
    labels: Mapping[str, frozenset[str] | None]

    @property
    def series(self) -> list[str]:
        """The names by which it is asked for."""
        return [self.name + ending for ending in ENDINGS[self.kind]]

    def knows(self, label: str) -> bool:
        return label in self.labels or label in OF_TARGETS or (label == "le" and self.kind == "histogram")


def all_metrics(folder: Path) -> list[Told]:
    """What the collectors of a server give, as they would in the server.

    Args:
        folder: an empty one.
    """
    values: dict[str, dict[str, tuple[str, ...]]] = {metric.name: dict(metric.labels) for metric in METRICS}
    values["mfserve_jobs"] = {"state": tuple(state.value for state in JobState)}
    values["mfserve_shadow_missed"] = {"reason": ("dropped", "failed")}
    return [
        Told(
            family.name,
            family.type,
            family.documentation,
            {
                label: frozenset(known) if (known := values.get(family.name, {}).get(label)) else None
                for label in _labels(family)
            },
        )
        for family in _families(folder)
    ]


def _labels(family: Metric) -> tuple[str, ...]:
    return tuple(family._labelnames)  # type: ignore[attr-defined] # public is what samples say, of which there are none


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A server without processes."""

    count: int = 0
    deaths: int = 0


def _families(folder: Path) -> Iterator[Metric]:
    yield from Pages(folder).collect()
    yield from ChildrenNumbers(_Nobody()).collect()
    with Registry.open(folder / "home") as registry:
        yield from RegistryNumbers(registry).collect()


def unknown_in(expression: str, metrics: list[Told]) -> list[str]:
    """What no scrape tells: names, labels and values. ValueError: it is no PromQL."""
    by_series = {series: metric for metric in metrics for series in metric.series}
    parsed = promql_parser.parse(expression)
    unknown: list[str] = []

    def look(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            unknown.extend(_unknown_in_selector(node, by_series))
        elif isinstance(node, AggregateExpr) and node.modifier is not None:
            inside = [by_series[name] for name in names_in(node) if name in by_series]
            unknown.extend(
                f"by ({label})"
                for label in node.modifier.labels
                if not all(metric.knows(label) for metric in inside)
            )

    promql_parser.walk(parsed, look)
    return unknown


def names_in(expression: str | Expr) -> set[str]:
    """The series that it asks for."""
    names: set[str] = set()

    def look(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            names.add(node.name or "")

    parsed = promql_parser.parse(expression) if isinstance(expression, str) else expression
    promql_parser.walk(parsed, look)
    return names


def _unknown_in_selector(selector: VectorSelector, by_series: Mapping[str, Told]) -> Iterator[str]:
    if (metric := by_series.get(selector.name or "")) is None:
        yield str(selector.name)
        return
    for matcher in selector.matchers.matchers:
        if not metric.knows(matcher.name):
            yield f"{selector.name}{{{matcher.name}}}"
        elif known := metric.labels.get(matcher.name):
            exact = matcher.op in (MatchOp.Equal, MatchOp.NotEqual)
            wanted = [re.escape(matcher.value)] if exact else _alternatives(matcher.value)
            for pattern in wanted:
                if not any(re.fullmatch(pattern, value) for value in known):
                    yield f"{selector.name}{{{matcher.name}={pattern!r}}}"


def _alternatives(pattern: str) -> list[str]:
    """Of ``a|b`` and ``x/(a|b)``: each must match something, or it is misspelt."""
    if found := re.fullmatch(r"(.*)\(([^()]*)\)(.*)", pattern):
        before, inner, after = found.groups()
        return [f"{before}{each}{after}" for each in inner.split("|")]
    return pattern.split("|")
