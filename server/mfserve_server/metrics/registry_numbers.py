"""What the registry knows that is worth watching: jobs by state, and what shadowing has found."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from mfserve_registry import JobState, Registry
from mfserve_registry.errors import RegistryError
from mfserve_registry.shadowing import Pair, ShadowSums, Sums

JOBS = "mfserve_jobs"
WAITING = "mfserve_oldest_pending_job_seconds"
SHADOW = "mfserve_shadow"
_PAIR = ["model", "version", "shadow"]


class RegistryNumbers(Collector):
    """Asked anew for each scrape; while the registry does not answer there is nothing.

    Args:
        registry: opened without asking it anything.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        try:
            counts, waiting = self._registry.jobs.counts()
            shadows = self._shadows()
        except RegistryError:
            return
        jobs = GaugeMetricFamily(JOBS, "Training jobs, by state.", labels=["state"])
        for state in JobState:
            jobs.add_metric([state.value], counts.get(state, 0))
        yield jobs
        yield GaugeMetricFamily(
            WAITING, "How long the first of the jobs that wait has waited; 0: none does.", waiting
        )
        yield from _shadowed(shadows)

    def _shadows(self) -> list[tuple[Pair, ShadowSums]]:
        """Of the shadows that aliases have now: there were many more."""
        pairs = {
            Pair(alias.model, target.version, alias.state.shadow.version)
            for alias in self._registry.aliases.aliased()
            if alias.state.shadow is not None
            for target in alias.state.targets
        }
        return [(pair, self._registry.shadowing.of(pair)) for pair in sorted(pairs)]


def _shadowed(shadows: list[tuple[Pair, ShadowSums]]) -> Iterator[Metric]:
    kinds = {
        "overlap": "Share of items that a shadow and the version that answers both list.",
        "rank_correlation": "Kendall's tau-b of the items that both list.",
        "score_shift": "How much higher the shadow scores the items that both list.",
        "added_seconds": "How much longer the shadow took.",
    }
    for kind, text in kinds.items():
        family = SummaryMetricFamily(f"{SHADOW}_{kind}", text, labels=_PAIR)
        for pair, sums in shadows:
            found: Sums = getattr(sums.answers, kind)
            family.add_metric(_labels(pair), found.count, found.total)
        yield family
    missed = CounterMetricFamily(
        f"{SHADOW}_missed", "Calls meant for a shadow that it did not answer.", labels=[*_PAIR, "reason"]
    )
    for pair, sums in shadows:
        missed.add_metric([*_labels(pair), "dropped"], sums.dropped)
        missed.add_metric([*_labels(pair), "failed"], sums.failed)
    yield missed


def _labels(pair: Pair) -> list[str]:
    return [pair.model, str(pair.version), str(pair.shadow)]
