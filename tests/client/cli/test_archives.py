"""``mfserve export`` and ``mfserve import``, beside a server that serves the registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_registry.archive import FORMAT
from mfserve_registry.names import _NAME_RULE
from tests.backends import bucket
from tests.client.cli.conftest import Run, command
from tests.integration.service import RunningService
from tests.registry.archive.golden import FOLDER
from tests.registry.helpers import publish
from tests.registry.test_promoting import FINE, WORSE, published, report

__all__ = ["bucket"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exported(run: Run, service: RunningService, version: str = "1") -> Path:
    assert run("export", "movies", version, "--home", str(service.home)).code == 0
    return Path("movies-1.mfserve")


def test_there_and_back(run: Run, service: RunningService, registry: Registry, folder: Path) -> None:
    done = run("export", "movies", "production", "--home", str(service.home))
    assert (done.code, done.out, done.err) == (0, "movies version 1 is in movies-1.mfserve\n", "")
    done = run("import", "movies-1.mfserve", "--home", "there")
    made = f"mfserve import: there was no registry in {folder / 'there'}, so that a new one is made\n"
    assert (done.code, done.err) == (0, made)
    assert done.out == "movies-1.mfserve is movies version 1 (production)\n"
    done = run("import", "movies-1.mfserve", "--home", "there")
    assert done.err == ""
    assert done.out == "movies-1.mfserve is movies version 1 (production), which was there already\n"
    done = run("import", "movies-1.mfserve", "--home", "there", "--model", "films")
    assert done.out == "movies-1.mfserve is films version 1 (production)\n"
    with Registry.open(folder / "there") as there:
        assert there.models.get_version("films", 1).digest == registry.models.get_version("movies", 1).digest


def test_a_version_that_failed_gates_is_told_of(run: Run, folder: Path) -> None:
    with Registry.open(folder / "here") as here:
        publish(here)
        published(here, report(FINE, WORSE))
        here.export_version("movies", 2, folder / "a")
    done = run("import", "a", "--home", "there")
    assert (
        done.out == "a is movies version 1; it failed gates (RATING_ERROR), and is promoted by force alone\n"
    )


def test_for_programs(run: Run, service: RunningService, registry: Registry, folder: Path) -> None:
    version = registry.models.get_version("movies", 1)
    told = json.loads(run("export", "movies", "1", "--home", str(service.home), "-o", "a", "--json").out)
    expected = {
        "model": "movies",
        "version": 1,
        "digest": version.digest,
        "aliases": ["production"],
        "size_bytes": version.size_bytes,
        "path": "a",
    }
    assert told == expected
    for new in (True, False):
        told = json.loads(run("import", "a", "--home", "there", "--json").out)
        assert told == {**expected, "new": new}
    assert (folder / "a").is_file()


@pytest.mark.usefixtures("folder")
def test_the_settings_file_of_a_server_names_the_registry(
    run: Run, service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("server.toml").write_text(f'home = "{service.home}"\nworkers = 4\nport = 1\n')
    assert run("export", "movies", "1", "--config", "server.toml").code == 0
    monkeypatch.setenv("MFSERVE_CONFIG", "server.toml")
    assert run("import", "movies-1.mfserve").out.endswith("which was there already\n")
    monkeypatch.setenv("MFSERVE_HOME", "there")
    assert "already" not in run("import", "movies-1.mfserve").out


@pytest.mark.usefixtures("folder")
def test_into_a_pipe_goes_nothing_but_the_archive(run: Run, service: RunningService) -> None:
    exported(run, service)
    line = command("export", "movies", "1", "--home", str(service.home), "--output", "-")
    done = subprocess.run(line, check=True, capture_output=True)
    assert done.stdout == Path("movies-1.mfserve").read_bytes()
    assert done.stderr == b"movies version 1 is in /dev/stdout\n"
    back = command("import", "-", "--home", "back", "--model", "piped")
    assert subprocess.run(back, input=done.stdout, check=True, capture_output=True).stdout.startswith(
        b"/dev/stdin is"
    )


def test_into_a_pipe_goes_no_line_of_the_log(tmp_path: Path, bucket: str) -> None:
    """Of a bucket's copies there are some."""
    archive, store_url = tmp_path / "archive", f"{bucket}/piped"
    with Registry.open(tmp_path / "here", store_url=store_url) as registry:
        registry.import_version(FOLDER / f"format-{FORMAT}.mfserve")
        registry.export_version("movies", 1, archive)
    shutil.rmtree(tmp_path / "here" / "cache")
    line = command("export", "movies", "1", "--home", str(tmp_path / "here"), "--output", "-")
    done = subprocess.run(
        line, env={**os.environ, "MFSERVE_STORE_URL": store_url}, check=True, capture_output=True
    )
    assert b"fetched" in done.stderr
    assert done.stdout == archive.read_bytes()


@pytest.mark.usefixtures("folder")
def test_a_bar_on_a_terminal_for_what_takes_long(
    run: Run, service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(run, service)
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes a terminal of standard error
    assert run("import", "movies-1.mfserve", "--home", "there").code == 0
    assert run("import", "movies-1.mfserve", "--home", "there").err == ""
    monkeypatch.setattr("mfserve_registry.cli._LARGE", 0)
    shown = run("import", "movies-1.mfserve", "--home", "there").err
    assert "import" in shown
    assert "bytes" in shown or "kB" in shown


HERE = "This is the registry in HOME; --home names another."


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["export", "books", "1"], f"There is no model books. {HERE}"),
        (["export", "movies", "9"], f"Model movies has no version 9. {HERE}"),
        (["export", "movies", "candidate"], f"Model movies has no alias candidate. {HERE}"),
        (["export", "movies", "9" * 30], f"Model movies has no alias {'9' * 30}. {HERE}"),
        (["export", "movies", "1", "-o", "/dev/full"], "/dev/full: No space left on device."),
        (["export", "movies", "1", "-o", "no/where"], "no/where: No such file or directory."),
        (["import", "none"], "none: No such file or directory."),
        (["import", "."], ".: Is a directory."),
        (
            ["import", "text"],
            "text: It is no archive of mfserve: it does not begin with version.json.",
        ),
        (["import", "cut"], "cut: The archive is cut short: it ends at snapshot/manifest.json."),
        (
            ["import", "flipped"],
            "flipped: version.json is damaged: its SHA-256 is not that in version.json.sha256.",
        ),
        (
            ["import", "future"],
            "future: The archive has format 9; this mfserve reads up to 1. Install a newer mfserve.",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_goes_wrong_is_one_line(
    run: Run, service: RunningService, arguments: list[str], error: str
) -> None:
    archive = exported(run, service).read_bytes()
    Path("text").write_text("user,item,rating\n" * 99)
    Path("cut").write_bytes(archive[: archive.index(b"snapshot/manifest.json\0") + 600])
    Path("flipped").write_bytes(archive.replace(b'"model":"movies"', b'"model":"movie5"'))
    Path("future").write_bytes(archive.replace(b'"format":1', b'"format":9'))
    done = run(*arguments, "--home", str(service.home))
    assert (done.code, done.out) == (1, "")
    assert done.err == f"mfserve {arguments[0]}: {error}\n".replace("HOME", str(service.home))
    assert not list(Path().glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["export", "movies", "0"], "A version is 1 or more."),
        (["export", "movies", "Production"], f"An alias is {_NAME_RULE}."),
        (["import", "movies-1.mfserve", "--model", "Movies"], f"A model's name is {_NAME_RULE}."),
        (["import", "movies-1.mfserve", "--config", "none"], "There is no settings file none."),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_wrong_in_itself(run: Run, service: RunningService, arguments: list[str], error: str) -> None:
    exported(run, service)
    done = run(*arguments, "--home", str(service.home))
    assert (done.code, done.out, done.err) == (2, "", f"mfserve {arguments[0]}: {error}\n")


@pytest.mark.usefixtures("folder")
def test_a_version_that_is_damaged_in_the_store_is_not_exported(run: Run, service: RunningService) -> None:
    exported(run, service)
    run("import", "movies-1.mfserve", "--home", "there")
    (file,) = Path("there").glob("snapshots/*/item_counts.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    done = run("export", "movies", "1", "--home", "there", "-o", "again")
    assert (done.code, done.err) == (1, "mfserve export: item_counts.npy is damaged in the store.\n")
    assert not Path("again").exists()


@pytest.mark.usefixtures("folder")
def test_no_registry_is_made_in_order_to_export_from_it(run: Run) -> None:
    done = run("export", "movies", "1", "--home", "none")
    assert done.code == 1
    assert (
        done.err
        == f"mfserve export: There is no registry in {Path('none').absolute()}; --home names another folder.\n"
    )
    assert not Path("none").exists()


def test_another_home_is_no_advice_where_a_url_names_the_database(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFSERVE_DATABASE_URL", f"sqlite:///{tmp_path}/shop.db")
    done = run("export", "books", "1", "--home", str(tmp_path))
    place = f"sqlite:///{tmp_path}/shop.db"
    assert done.err == f"mfserve export: There is no model books. This is the registry at {place}.\n"


@pytest.mark.parametrize("password", ["secret", "secret/8?9", "secret#8", "secret?8"])
def test_a_database_that_does_not_answer_is_named_without_its_password(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("MFSERVE_DATABASE_URL", f"postgresql://ann:{password}@127.0.0.1:1/shop")
    done = run("export", "movies", "1", "--home", str(tmp_path))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "the registry at postgresql://127.0.0.1:1/shop cannot be opened" in done.err
    assert "refused" in done.err
    assert "secret" not in done.err


def test_a_file_in_the_place_of_a_home_is_told_of(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    done = run("import", "x", "--home", str(tmp_path / "home"))
    assert (done.code, done.err) == (1, f"mfserve import: {tmp_path / 'home'} is no folder.\n")
