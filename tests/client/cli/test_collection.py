"""``mfserve gc``, in a registry of its own: the others of these tests have theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.text import Text

from mfserve_registry import Registry
from tests.client.cli.conftest import Run
from tests.server.samples import publish


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three versions of movies with one artifact, production at 1, the third deleted."""
    home = tmp_path / "home"
    with Registry.open(home) as registry:
        for seed in range(3):
            publish(registry, "movies", seed=seed)
        registry.models.delete_version("movies", 3)
    return home


def snapshots(home: Path) -> int:
    return len(list((home / "snapshots").iterdir()))


def test_a_dry_run_and_a_run(run: Run, home: Path) -> None:
    options = ("gc", "--home", str(home), "--grace", "0", "--keep-last", "1", "--named-within", "0")
    dry = run(*options, "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "named by production" in dry.out
    assert dry.out.index("would go") < dry.out.index("snapshots/") < dry.out.index("stays")
    assert (
        " would be freed; of the snapshots, artifacts and uploads, the 3 that the database names" in dry.out
    )
    assert snapshots(home) == 3
    done = run(*options)
    assert (done.code, done.err) == (0, "")
    assert " freed; of the snapshots, artifacts and uploads, the 3 that" in done.out
    assert "would" not in done.out
    assert snapshots(home) == 2


def test_a_terminal_shows_whole_names(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes a terminal of 80 columns
    options = ("gc", "--home", str(home), "--grace", "0")
    [verdict] = json.loads(run(*options, "--dry-run", "--json").out)["verdicts"]
    shown = Text.from_ansi(run(*options).out).plain
    cells = [line.partition("\u2502")[0].strip() for line in shown.splitlines()]
    assert verdict["name"] in "".join(cells)


def test_for_programs(run: Run, home: Path) -> None:
    told = json.loads(run("gc", "--home", str(home), "--grace", "0s", "--json").out)
    [verdict] = told["verdicts"]
    assert verdict["goes"] is True
    assert verdict["why"] == "nothing names it"
    assert told["freed_bytes"] == verdict["size_bytes"] > 0
    assert (told["named"], told["dry_run"]) == (3, False)
    again = json.loads(run("gc", "--home", str(home), "--grace", "0", "--json", "--dry-run").out)
    assert (again["verdicts"], again["freed_bytes"], again["dry_run"]) == ([], 0, True)


def test_without_options_nothing_young_goes(run: Run, home: Path) -> None:
    done = run("gc", "--home", str(home))
    assert (done.code, done.err) == (0, "")
    named, later = done.out.split(" stay, and ")
    assert named.startswith(
        "0 B freed; of the snapshots, artifacts and uploads, the 3 that the database names ("
    )
    assert later.startswith("1 more for now (")
    assert later.endswith("); --dry-run shows why.\n")
    assert snapshots(home) == 3
    [waits] = json.loads(run("gc", "--home", str(home), "--dry-run", "--json").out)["verdicts"]
    assert (waits["goes"], waits["why"]) == (False, "its version is deleted, and the grace is not over")


def test_a_time_that_nothing_would_heed_is_refused(run: Run, home: Path, tmp_path: Path) -> None:
    """On the command line: a settings file may go with runs that delete versions and with others."""
    done = run("gc", "--home", str(home), "--named-within", "7d")
    assert (done.code, done.out) == (2, "")
    assert "add --keep-last N" in done.err
    config = tmp_path / "mfserve.toml"
    config.write_text('named_within = "7d"\n')
    assert run("gc", "--home", str(home), "--config", str(config)).code == 0


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--grace", "1 fortnight", "a number with d, h, m or s behind it"),
        ("--named-within", "-1d", "a number with d, h, m or s behind it"),
        ("--keep-uploads", "30", "a number with d, h, m or s behind it"),
        ("--named-within", "9999999999d", "it is too large: at most 36500d"),
        ("--grace", "9" * 5000 + "s", "it is too large: at most 36500d"),
        ("--keep-last", "0", "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense(run: Run, home: Path, option: str, value: str, text: str) -> None:
    done = run("gc", "--home", str(home), f"{option}={value}")
    assert done.code == 2
    assert done.err.startswith(f"mfserve gc: {option} is wrong: ")
    assert text in done.err
    assert snapshots(home) == 3


def test_settings_of_the_environment_and_a_file(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mfserve.toml"
    config.write_text(f'home = "{home}"\ngrace = "0"\nworkers = 2\n')
    monkeypatch.setenv("MFSERVE_KEEP_LAST", "1")
    monkeypatch.setenv("MFSERVE_NAMED_WITHIN", "0")
    told = json.loads(run("gc", "--config", str(config), "--dry-run", "--json").out)
    stays = {verdict["name"]: verdict["why"] for verdict in told["verdicts"] if not verdict["goes"]}
    assert stays == {"movies version 2": "among the newest", "movies version 1": "named by production"}


def test_where_there_is_no_registry_none_is_made(run: Run, tmp_path: Path) -> None:
    done = run("gc", "--home", str(tmp_path / "none"))
    assert done.code == 1
    assert done.err.startswith("mfserve gc: There is no registry in ")
    assert not (tmp_path / "none").exists()
