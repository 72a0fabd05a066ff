"""Opening a registry: the folder, the migrations, and what refuses to open."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import delete, text

from mfserve_registry import Registry
from mfserve_registry import sqlite as sqlite_module
from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition, Unavailable
from mfserve_registry.migrations import HEAD, REVISIONS
from mfserve_registry.tables import metadata, servers
from tests.places import Place
from tests.registry.helpers import publish, request, run_together


def test_home_is_made_for_its_owner_only(home: Path) -> None:
    with Registry.open(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_an_existing_folder_keeps_its_mode(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    with Registry.open(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_migrations_make_exactly_the_tables_of_the_code(empty: Place) -> None:
    empty.open().close()
    with empty.database() as database, database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_registry_of_the_first_form_is_brought_to_this_one(home: Path) -> None:
    home.mkdir()
    database = Database(home / "registry.db")
    database.make_file()
    config = Config()
    config.set_main_option("script_location", "mfserve_registry:migrations")
    at = {"at": "2030-01-01 00:00:00.000000"}
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO models VALUES ('movies', 1, :at, NULL)"), at)
        connection.execute(
            text("INSERT INTO aliases VALUES ('movies', 'production', '[[1, 1]]', NULL, 1, :at, NULL)"), at
        )
        connection.execute(
            text(
                "INSERT INTO alias_events"
                " VALUES (1, 'movies', 'production', 1, 'SET', '[]', NULL, '[[1, 1]]', NULL, 'ann', 'why', :at)"
            ),
            at,
        )
    database.close()
    with Registry.open(home) as registry:
        (found,) = registry.aliases.events("movies", "production").items
    assert (found.actor, found.after.versions, found.restored_revision) == ("ann", [1], None)


def test_the_list_of_revisions_is_that_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", "mfserve_registry:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


def test_the_database_is_durable_and_lets_readers_read(home: Path) -> None:
    with Registry.open(home):
        pass
    database = Database(home / "registry.db")
    with database.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    database.close()
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_newer_database_is_refused_and_left_alone(empty: Place) -> None:
    empty.open().close()
    with empty.database() as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for migrate in (True, False):
        with pytest.raises(FailedPrecondition, match="9999") as caught:
            empty.open(migrate=migrate)
        assert caught.value.reason == "REGISTRY_TOO_NEW"


def test_without_migrating_a_fresh_registry_is_refused(empty: Place) -> None:
    empty.home.mkdir(exist_ok=True)
    with empty.database() as database:
        database.make_file()
    with pytest.raises(FailedPrecondition) as caught:
        empty.open(migrate=False)
    assert caught.value.reason == "REGISTRY_NOT_MIGRATED"
    empty.open().close()
    empty.open(migrate=False).close()


def test_what_is_opened_unseen_is_looked_at_when_it_answers(empty: Place) -> None:
    """By every call, until it is found to be as this release knows it; an answer is never taken from another form."""
    empty.home.mkdir(exist_ok=True)
    with empty.database() as database:
        database.make_file()
    with empty.open(check_later=True) as registry:
        for _ in range(2):
            with pytest.raises(Unavailable, match="empty or of an older release"):
                registry.jobs.list()
        empty.open().close()
        with empty.database() as database, database.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(Unavailable, match="9999"):
            registry.jobs.submit(request())
        with empty.database() as database, database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})
        assert registry.jobs.submit(request())[1]


def test_a_database_without_its_tables_is_unavailable(place: Place) -> None:
    with place.open() as registry:
        with place.database() as database, database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE models RENAME TO models_away")
        try:
            with pytest.raises(Unavailable, match="lacks tables of the registry; restore it"):
                registry.models.list()
        finally:
            with place.database() as database, database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE models_away RENAME TO models")


def test_a_lost_database_is_not_replaced(place: Place) -> None:
    """Nobody may take what it named for garbage, or begin to number versions anew."""
    with place.open() as registry:
        published = publish(registry)
    with _lost(place):
        with pytest.raises(Unavailable, match=r"missing or empty.* Restore it from a backup"):
            place.open()
        with place.open(check_later=True) as unseen, pytest.raises(Unavailable):
            unseen.models.list()
    with place.open() as registry:
        assert registry.models.get_version("movies", 1) == published


def test_a_registry_is_begun_anew_where_the_snapshots_are_gone(place: Place) -> None:
    with place.open() as registry:
        publish(registry)
    with _lost(place):
        for name in place.stored("snapshots"):
            place.damage(f"snapshots/{name}")
        with place.open() as registry:
            assert registry.models.list().items == []
        if place.database_url is None:
            (place.home / "registry.db").unlink()


def test_a_database_that_is_taken_away_and_put_back_under_way(home: Path) -> None:
    """Nobody goes on with a file that has no name any more."""
    file = home / "registry.db"
    with Registry.open(home) as registry:
        publish(registry)
        kept = file.rename(home / "kept.db")
        for _ in range(2):
            with pytest.raises(Unavailable, match="is missing"):
                registry.models.list()
        assert not file.exists()
        kept.rename(file)
        assert [model.model for model in registry.models.list().items] == ["movies"]


@contextmanager
def _lost(place: Place) -> Iterator[None]:
    """Takes the database's file away, or its tables."""
    if place.database_url is None:
        file = place.home / "registry.db"
        kept = file.rename(place.home / "kept.db")
        yield
        kept.rename(file)
    else:
        with place.database() as database, database.write() as connection:
            connection.exec_driver_sql("ALTER SCHEMA public RENAME TO kept")
            connection.exec_driver_sql("CREATE SCHEMA public")
        yield
        with place.database() as database, database.write() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("ALTER SCHEMA kept RENAME TO public")


@pytest.mark.parametrize("kept", [0, 100], ids=["no database", "damaged"])
def test_a_damaged_file_is_told_of_as_such(home: Path, kept: int) -> None:
    """In our own words; that it is a database is in the first 100 bytes."""
    Registry.open(home).close()
    file = home / "registry.db"
    file.write_bytes(file.read_bytes()[:kept] + b"no database at all" * 100)
    with pytest.raises(Unavailable) as caught:
        Registry.open(home)
    assert caught.value.message == (
        "The registry's database is damaged or no database; restore it from a backup."
    )


def test_a_file_that_is_there_and_cannot_be_opened_is_not_told_of_as_lost(home: Path) -> None:
    """As on a file system that has become read-only, where SQLite cannot make its other files."""
    Registry.open(home).close()
    (home / "registry.db-wal").mkdir()
    with Registry.open(home, check_later=True) as registry, pytest.raises(Unavailable) as caught:
        registry.models.list()
    assert "is there and cannot be opened: its file system may be read-only" in caught.value.message
    assert "estore" not in caught.value.message


def test_a_database_that_takes_no_writes_is_told_of_as_read_only(place: Place) -> None:
    statement = "PRAGMA query_only = ON" if place.database_url is None else "SET transaction_read_only = on"

    def write() -> None:
        with place.database() as database, database.write() as connection:
            connection.exec_driver_sql(statement)
            connection.execute(delete(servers))

    with pytest.raises(Unavailable, match="is read-only; make it writable"):
        write()


def test_several_processes_open_a_fresh_registry_at_once(empty: Place) -> None:
    run_together("open_fresh", empty, 4)
    with empty.open(migrate=False) as registry:
        assert {job.request_id for job in registry.jobs.list().items} == {"r0", "r1", "r2", "r3"}


def test_an_up_to_date_registry_opens_without_alembic(home: Path) -> None:
    with Registry.open(home):
        pass
    code = (
        "import sys; from pathlib import Path; from mfserve_registry import Registry\n"
        "Registry.open(Path(sys.argv[1])).close()\n"
        "loaded = [name for name in ('alembic', 'pyarrow', 'grpc', 'tensorflow', 'pandas') if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(home)], check=True)


def test_a_database_that_does_not_answer_is_unavailable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_SECONDS", 0.01)
    with Registry.open(home) as registry:
        other = sqlite3.connect(home / "registry.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            registry.jobs.submit(request())
        assert caught.value.reason == "UNAVAILABLE"
        assert "locked" not in caught.value.message
        assert registry.jobs.list().items == []  # readers do not wait for writers
        other.execute("ROLLBACK")
        other.close()
        registry.jobs.submit(request())


def test_the_url_of_another_sqlite_file(home: Path, tmp_path: Path) -> None:
    with Registry.open(home, database_url=f"sqlite:///{tmp_path / 'elsewhere.db'}") as registry:
        registry.jobs.submit(request())
    assert (tmp_path / "elsewhere.db").exists()
    assert not (home / "registry.db").exists()
