"""The page: complete, closed in itself, and deaf to what titles say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_trainer.engines import Epoch
from mfserve_trainer.report import Holdout, activity, draw, page
from mfserve_trainer.report.holdout import Predicted, predicted
from mfserve_trainer.report.picture import Part, Picture
from tests.trainer.report.samples import DIGEST, HOSTILE, JOB, ORIGIN, Sample, sample

EPOCHS = {
    "Rating head": [Epoch(number, 3, {"loss": 2.0 / number, "mse": 1.0 / number}) for number in (1, 2, 3)],
    "Ranking head": [Epoch(1, 1, {"loss": -1.0})],
}
TITLES = [
    "Error by what is known of the user",
    "Error by what is known of the item",
    "Calibration of predicted ratings",
    "Popularity of what is recommended",
    "Coverage of the catalogue",
    "Map of the items",
    "Rating head",
    "Ranking head",
]


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of scripts by their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def pictures(fit: Sample) -> list[Picture]:
    return draw(fit.content, EPOCHS, fit.holdout, seed=0)


@pytest.fixture(scope="module")
def text(fit: Sample, pictures: list[Picture]) -> str:
    artifact = page(fit.facts(), pictures, **ORIGIN)
    assert (artifact.name, artifact.media_type) == ("report.html", "text/html")
    return artifact.data.decode()


def test_everything_is_drawn(pictures: list[Picture], text: str) -> None:
    assert [picture.title for picture in pictures] == TITLES
    assert all(picture.figure is not None for picture in pictures)
    elements = Elements(text)
    figures = json.loads(elements.scripts[0])
    places = {attributes.get("id") for _, attributes in elements.tags}
    assert [figure["target_id"] for figure in figures] == [f"figure-{place}" for place in range(8)]
    assert {figure["target_id"] for figure in figures} <= places
    for said in (
        f'<p class="digest">Job {JOB}<br>Snapshot {DIGEST}</p>',
        "als (rating)",
        "ials (ranking)",
        "1970-01-01 to 1970-01-02",
        "20% held out (random)",
        "nDCG@10",
        "frequency_exponent",
    ):
        assert said in text


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    elements = Elements(text)
    for tag, attributes in elements.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert "@import" not in text[: text.index("<script")]
    (policy,) = (
        attributes["content"] or ""
        for _, attributes in elements.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    # The browser digests what stands between the tags, to the byte.
    programs = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in elements.scripts[1:]
    ]
    assert programs == allowed
    assert "unsafe-eval" not in policy
    assert len(text) < 2_000_000


def test_what_titles_and_names_say_stays_text(fit: Sample, text: str) -> None:
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags if tag in {"script", "img"}] == ["script"] * 3
    assert "alert(1)</script>" not in text
    assert "49" not in re.findall(r"<h1>(.*)</h1>", text)[0]
    # And arrives unharmed.
    assert HOSTILE in json.dumps(json.loads(elements.scripts[0]), ensure_ascii=False).replace('\\"', '"')


def test_without_holdout_the_page_says_why_there_is_less(fit: Sample) -> None:
    pictures = draw(fit.content, EPOCHS, None, seed=0)
    assert [picture.title for picture in pictures] == TITLES[5:]
    text = page(fit.facts() | {"metrics": None}, pictures, **ORIGIN).data.decode()
    assert "Nothing was held out" in text
    assert "nDCG@10" not in text


def test_without_a_ranking_head_the_rating_head_is_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    fit = sample(tmp_path_factory.mktemp("rating-only"), ranking=False)
    pictures = draw(fit.content, {"Rating head": EPOCHS["Rating head"]}, fit.holdout, seed=0)
    assert [picture.title for picture in pictures] == TITLES[:-1]
    assert "in the rating head" in pictures[5].caption
    facts: dict[str, Any] = fit.facts()
    facts["spec"]["ranking"] = {"engine": "none"}
    text = page(facts, pictures, **ORIGIN).data.decode()
    assert "Ranking head" not in text
    assert "(ranking)" not in text


def test_without_a_rating_head_there_is_nothing_about_ratings(fit: Sample, tmp_path: Path) -> None:
    content = replace(
        fit.content, rating=None, scale=None, mean_rating=None, user_means=None, item_means=None
    )
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    holdout = replace(fit.holdout, snapshot=snapshot)
    pictures = draw(content, {"Ranking head": EPOCHS["Ranking head"]}, holdout, seed=0)
    assert [picture.title for picture in pictures] == [*TITLES[3:6], "Ranking head"]
    facts: dict[str, Any] = fit.facts()
    facts["spec"]["rating"] = {"engine": "none"}
    facts["dataset"]["scale"] = None
    facts["metrics"]["rating"] = []
    text = page(facts, pictures, **ORIGIN).data.decode()
    assert "could not be drawn" not in text
    assert "RMSE" not in text[: text.index("<script")]


def test_a_head_that_tells_deviations_has_them_judged(fit: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(holdout: Holdout) -> Predicted:
        rows = predicted(holdout)
        # Where user or item is unknown the server tells none, which is 0 here.
        return replace(rows, deviation=np.where(rows.user_ratings > 0, 1.0, 0.0))

    monkeypatch.setattr(sys.modules[draw.__module__], "predicted", told)
    pictures = draw(fit.content, EPOCHS, fit.holdout, seed=0)
    assert [picture.title for picture in pictures][:4] == [
        *TITLES[:3],
        "Calibration of the standard deviation",
    ]


def test_a_defect_costs_its_part_of_the_page_alone(fit: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> Picture:
        raise RuntimeError("a secret of this machine")

    monkeypatch.setattr(activity, "by_user", broken)
    with capture_logs() as logs:
        pictures = draw(fit.content, EPOCHS, fit.holdout, seed=0)
    assert [(entry["log_level"], entry["part"]) for entry in logs] == [("error", Part.RATINGS)]
    assert [picture.title for picture in pictures] == ["Missing", *TITLES[3:]]
    text = page(fit.facts(), pictures, **ORIGIN).data.decode()
    assert "could not be drawn; the trainer&#39;s log says why" in text
    assert "secret" not in text
