"""The dashboard and the alerts ask for what servers tell, and each alert has its section in docs/operations.md."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from mfserve_server.metrics.layout import Kind
from tests.packaging.imports import ROOT
from tests.packaging.metrics import Told, all_metrics, names_in, unknown_in

ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy/grafana/mfserve.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")
WATCHED = {
    "mfserve_workers",
    "mfserve_requests_total",
    "mfserve_request_duration_seconds_bucket",
    "mfserve_errors_total",
    "mfserve_registry_lost",
    "mfserve_callers_outdated",
    "mfserve_certificate_expires_timestamp_seconds",
    "mfserve_oldest_pending_job_seconds",
    "mfserve_versions",
    "mfserve_worker_restarts_total",
}
"""What there must be an alert for."""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    return all_metrics(tmp_path_factory.mktemp("metrics"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_servers_tell(rule: dict[str, Any], metrics: list[Told]) -> None:
    assert unknown_in(rule["expr"], metrics) == []
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_summary_names_labels_that_the_alert_has(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
    if kept or re.match(r"(sum|max|min|absent)\(", rule["expr"]):
        assert named <= {label.strip() for labels in kept for label in labels.split(",")}
    else:
        assert named <= {"instance"}


def test_what_must_be_watched_is_watched_once() -> None:
    assert set().union(*(names_in(rule["expr"]) for rule in RULES)) == WATCHED
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    _, _, after = OPERATIONS.partition("\n## When an alert fires\n")
    sections = re.findall(r"^### (.+)$", after.partition("\n## ")[0], re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_dashboard_has_nothing_that_grafana_does_not_know() -> None:
    assert _as_grafana_has_it(DASHBOARD) == DASHBOARD
    # What is misspelt does not come back, which is why equality says something.
    panel = DASHBOARD["panels"][1]
    misspelt = {
        **DASHBOARD,
        "panels": [{**panel, "fieldConfig": {"default": panel["fieldConfig"]["defaults"]}}],
    }
    assert _as_grafana_has_it(misspelt) != misspelt


def _as_grafana_has_it(dashboard: dict[str, Any]) -> Any:
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_servers_tell(panel: dict[str, Any], metrics: list[Told]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        asked = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        assert unknown_in(asked, metrics) == []
        labels = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
        told = [metric for metric in metrics if set(metric.series) & names_in(asked)]
        assert all(metric.knows(label) for metric in told for label in labels)


def test_every_metric_is_on_the_dashboard(metrics: list[Told]) -> None:
    shown = set()
    for panel in PANELS:
        for target in panel["targets"]:
            shown |= names_in(target["expr"].replace("$__rate_interval", "5m"))
    # Of a shadow, two of the four comparisons: `mfserve compare` shows all.
    left_out = {"mfserve_shadow_rank_correlation", "mfserve_shadow_score_shift"}
    assert {metric.name for metric in metrics if not shown & set(metric.series)} == left_out


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("mfserve_request_total", ["mfserve_request_total"]),
        ('mfserve_requests_total{code="INTERN"}', ["mfserve_requests_total{code='INTERN'}"]),
        ('mfserve_requests_total{code=~"OK|INTERN"}', ["mfserve_requests_total{code='INTERN'}"]),
        ('mfserve_requests_total{status="OK"}', ["mfserve_requests_total{status}"]),
        ("sum by (caller) (mfserve_requests_total)", ["by (caller)"]),
        ("sum by (method, instance) (rate(mfserve_requests_total[5m]))", []),
    ],
)
def test_the_check_finds_what_is_misspelt(expression: str, unknown: list[str], metrics: list[Told]) -> None:
    assert unknown_in(expression, metrics) == unknown


def test_no_expression_is_accepted_that_is_no_promql(metrics: list[Told]) -> None:
    with pytest.raises(ValueError, match="unclosed"):
        unknown_in("sum(rate(mfserve_requests_total[5m])", metrics)


def test_the_table_of_metrics_is_what_servers_tell(metrics: list[Told]) -> None:
    rows = [
        f"| `{metric.name}{'_total' * (metric.kind == Kind.COUNTER)}` | {metric.kind} "
        f"| {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in sorted(metrics, key=lambda metric: metric.name)
    ]
    written = [line for line in OPERATIONS.splitlines() if line.startswith("| `mfserve_")]
    assert written == rows
