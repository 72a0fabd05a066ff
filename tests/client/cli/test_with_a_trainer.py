"""``train --wait`` on files of one's own, with a real trainer beside the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.client.cli.conftest import Run
from tests.integration.service import RunningService, running_service

COLUMNS = ["--user-column", "who", "--item-column", "what", "--rating-column", "stars"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 900 ratings, and the same with one more that is no number."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(7)
    pairs = rng.choice(40 * 30, size=900, replace=False)
    rows = [f"u{pair // 30},i{pair % 30},{rng.integers(1, 6)}" for pair in pairs]
    (folder / "good.csv").write_text("\n".join(["who,what,stars", *rows]) + "\n")
    (folder / "bad.csv").write_text("\n".join(["who,what,stars", *rows, "u1,i1,many"]) + "\n")
    return folder


@pytest.fixture(scope="module")
def service(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    # Takes the place of the one without a trainer, so that the other fixtures use this one.
    home = tmp_path_factory.mktemp("cli-trainer") / "home"
    with running_service(home, "--data-roots", str(shop)) as service:
        yield service


def test_a_file_is_trained_on_and_its_version_answers(run: Run, shop: Path) -> None:
    file = str(shop / "good.csv")
    options = [
        "--engine",
        "als",
        "--factors",
        "3",
        "--ranking-factors",
        "4",
        "--ranking-iterations",
        "3",
        "--seed",
        "5",
    ]
    finished = run("train", "shop", file, *COLUMNS, *options, "--wait")
    assert finished.code == 0, finished.err
    assert "fit the rating head" in finished.err
    assert "epoch 1/" in finished.err
    assert "shop version 1" in finished.out
    assert "900 ratings, 40 users, 30 items" in finished.out
    spec = json.loads(run("versions", "shop", "1", "--json").out)["spec"]
    assert (spec["rating"]["factors"], spec["ranking"]["factors"], spec["seed"]) == (3, 4, 5)
    assert "answered by shop version 1" in run("recommend", "shop", "u1", "--include-seen").out


def test_data_without_ratings_gives_recommendations_and_no_predictions(run: Run, shop: Path) -> None:
    (shop / "chosen").write_text(
        "\n".join(["who,what", *(f"u{n % 40},i{n * 7 % 31}" for n in range(600))]) + "\n"
    )
    columns = ["--user-column", "who", "--item-column", "what"]
    chosen = ["chosen", "chosen", "--format", "csv", *columns, "--wait"]
    refused = run("train", *chosen)
    assert refused.code == 1
    assert "set --implicit" in " ".join(refused.err.split())
    finished = run("train", *chosen, "--implicit", "--duplicates", "first")
    assert finished.code == 0, finished.err
    assert "rows without ratings" in finished.out
    assert "Test quality of recommendations" in finished.out
    assert "Test error of predicted ratings" not in finished.out
    version = json.loads(run("versions", "chosen", "1", "--json").out)
    assert (version["dataset"]["scale"], version["evaluation"]["rating"]) == (None, [])
    items = json.loads(run("recommend", "chosen", "u1", "--json").out)["items"]
    assert items
    assert {item["predicted_rating"] for item in items} == {None}
    table = run("recommend", "chosen", "--history", "i1", "--history", "i2=1").out
    assert "basis FOLD_IN" in table
    assert " -" in table
    predicted = run("predict", "chosen", "u1", "i1")
    assert predicted.code == 1
    assert "without a rating head" in predicted.err


def test_a_tuning_shows_its_trials_and_what_was_chosen(run: Run, shop: Path) -> None:
    options = ["--engine", "als", "--factors", "3", "--iterations", "3", "--ranking-iterations", "3"]
    options += ["--ranking-factors", "8", "--trials", "2", "--validation-share", "0.3"]
    arguments = ["tune", "tuned", str(shop / "good.csv"), *COLUMNS, *options]
    finished = run(*arguments)
    assert finished.code == 0, finished.err
    assert "tune the rating head\n  trial 1/2  best_validation_mse" in finished.err
    assert "tune the ranking head\n  trial 1/2  best_validation_ndcg_at_10" in finished.err
    assert "Trials of the rating head (als)" in finished.out
    assert "Trials of the ranking head (ials)" in finished.out
    assert finished.out.count("as given, has") == 2
    assert "tuned version 1" in finished.out
    # The same again runs no trial anew, and so gives the same.
    *_, tables, version = map(json.loads, run(*arguments, "--json").out.splitlines())
    assert (version["version"], len(tables["rating"]["trials"])) == (2, 2)
    rows = [line.split("│") for line in finished.out.splitlines() if line.count("│") in {5, 7}]
    for head, given in (("rating", "0.1250"), ("ranking", "6.0000")):
        trials, best = tables[head]["trials"], tables[head]["best_trial"]
        shown, rows = rows[:2], rows[2:]
        assert [row[1].strip() for row in shown] == [str(trial["parameters"]["factors"]) for trial in trials]
        assert shown[0][2].strip() == given
        assert [place for place, row in enumerate(shown) if row[-2].strip() == "best"] == [best]
        assert version["spec"][head]["factors"] == trials[best]["parameters"]["factors"]
    assert version["spec"]["tuning"] == {
        "trials": 2,
        "seconds": None,
        "validation_fraction": 0.3,
        "head": None,
    }
    # Whoever lets go of it finds it again.
    jobs = json.loads(run("jobs", "--model", "tuned", "--json").out)
    job_id = next(job["job_id"] for job in jobs if job["version"] == 1)
    assert run("jobs", job_id, "--wait").out == finished.out
    queued = json.loads(run(*arguments, "--no-wait", "--head", "rating", "--json").out)
    assert (queued["state"], queued["spec"]["tuning"]["head"]) == ("PENDING", "RATING")


def test_a_bad_row_is_named_with_its_line(run: Run, shop: Path) -> None:
    finished = run("train", "shop", str(shop / "bad.csv"), *COLUMNS, "--wait")
    assert (finished.code, finished.out) == (1, "")
    last = finished.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "bad.csv" in last
    assert "902" in last  # the heading, 900 good ones, and this one
    (job,) = json.loads(run("jobs", "--model", "shop", "--state", "failed", "--json").out)
    assert 'set --bad-rows to "skip"' in last
    assert 'set dataset.bad_rows to "skip"' in job["error"]["message"]
    assert 'set --bad-rows to "skip"' in run("jobs", job["job_id"]).out


@pytest.mark.parametrize(
    ("file", "code", "says"),
    [
        ("plain", 2, "plain: no ending tells the format; set --format to csv, tsv or parquet."),
        ("shop/good.csv", 1, "under the data roots, where relative paths begin."),
        ("/etc/passwd", 1, "outside the folders"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_queued(
    run: Run, shop: Path, file: str, code: int, says: str
) -> None:
    (shop / "plain").touch()
    finished = run("train", "refused", f"./{file}" if code == 2 else file)
    assert (finished.code, finished.err.count("\n")) == (code, 1)
    assert says in finished.err
    assert json.loads(run("jobs", "--model", "refused", "--json").out) == []
