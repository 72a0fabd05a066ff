"""The report as one HTML page that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jinja2
from bokeh.embed import json_item
from bokeh.resources import Resources

from mfserve_registry.artifacts import Artifact
from mfserve_trainer.report.picture import Part, Picture, label_of

NAME = "report.html"

# What the page runs beside Bokeh: draws each figure into the element that it names.
_START = """
for (const figure of JSON.parse(document.getElementById("figures").textContent)) Bokeh.embed.embed_item(figure);
"""

_UNITS = {"mse": "MSE", "rmse": "RMSE", "mae": "MAE", "ndcg_at_10": "nDCG@10", "recall_at_20": "Recall@20"}
_UNITS |= {"coverage_at_10": "Coverage@10"}


def page(
    facts: Mapping[str, Any], pictures: Sequence[Picture], *, model: str, job_id: str, digest: str
) -> Artifact:
    r"""Renders the page.

    Everything that comes from data (titles, ids, names) is escaped: by Jinja in the markup, by ``tojson`` in the
    figures' JSON, where "<" becomes \u003c, and by Bokeh, which puts values into tooltips as text. Should one get
    through all the same, the page's Content-Security-Policy lets no script run but the two whose digests it names,
    and lets nothing be fetched.

    Args:
        facts: of the version: "spec", "dataset", "split", "metrics".
        pictures: what ``draw`` drew.
        model, job_id: whose training it was: the version has no number yet, and by the job its reader finds it.
        digest: of the snapshot.
    """
    figures = [
        json_item(picture.figure, f"figure-{number}")
        for number, picture in enumerate(pictures)
        if picture.figure is not None
    ]
    html = _template().render(
        model=model,
        job_id=job_id,
        digest=digest,
        facts=facts,
        engines=_engines(facts["spec"]),
        split=_split(facts["split"]),
        highlights=_highlights(facts["metrics"]),
        parts=_parts(pictures),
        figures=figures,
        scripts=_scripts(),
        hashes=[_csp_hash(script) for script in _scripts()],
        units=_UNITS,
    )
    return Artifact(NAME, "text/html", html.encode())


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mfserve_trainer.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh defines a thing where it is named first: its JSON must keep its order.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters |= {"day": _day, "label": label_of, "pretty": _pretty}
    return environment.get_template("page.html")


@cache
def _scripts() -> tuple[str, str]:
    """Bokeh's own script, as its package brings it along, and ours: the template puts them in as they are."""
    bokeh = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw)
    return bokeh, _START


def _csp_hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _parts(pictures: Sequence[Picture]) -> dict[Part, list[tuple[int, Picture]]]:
    parts: dict[Part, list[tuple[int, Picture]]] = {part: [] for part in Part}
    for number, picture in enumerate(pictures):
        parts[picture.part].append((number, picture))
    return parts


def _engines(spec: Mapping[str, Any]) -> list[str]:
    return [
        f"{spec[head]['engine']} ({head})" for head in ("rating", "ranking") if spec[head]["engine"] != "none"
    ]


def _split(split: Mapping[str, Any]) -> str:
    if split["kind"] == "none":
        return "nothing held out"
    return f"{split['fraction']:.0%} held out ({label_of(split['kind']).lower()})"


def _highlights(metrics: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The numbers people ask for first: what, how much, and beside what."""
    if metrics is None:
        return []
    rating = {row["predictor"]: row for row in metrics["rating"]}
    ranking = {row["ranker"]: row for row in metrics["ranking"]}
    found = []
    if "RATING_HEAD" in rating:
        rmse, mean = rating["RATING_HEAD"]["rmse"], rating["GLOBAL_MEAN"]["rmse"]
        found.append(("RMSE of ratings", f"{rmse:.3f}", f"{mean:.3f} by the mean rating"))
    head = next((name for name in ("RANKING_HEAD", "RATING_HEAD") if name in ranking), None)
    if head is not None:
        best, popular = ranking[head], ranking["POPULARITY"]
        found += [
            (_UNITS[key], f"{best[key]:.3f}", f"{popular[key]:.3f} by popularity")
            for key in ("ndcg_at_10", "coverage_at_10")
        ]
    found.append(("Held-out ratings", f"{metrics['holdout_ratings']:,}", "that the measured fit never saw"))
    return found


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
