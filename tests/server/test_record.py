"""What a server's home remembers of its aliases."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from mfserve.v1 import common_pb2, recommendation_service_pb2
from mfserve_registry import AliasShadow, AliasTarget, Registry
from mfserve_server.preparation import prepare
from mfserve_server.record import FILE_NAME, RecordFile
from mfserve_server.settings import Settings
from mfserve_server.verification import Verification
from tests.server.calls import failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.server.test_versions import answer, wait_for_version
from tests.waiting import until

NAME = "postgresql+psycopg://db.example/mfserve"


def names(record: RecordFile) -> dict[str, list[int]]:
    """The versions of each alias."""
    found = record.read()
    return {} if found is None else {alias.alias: alias.state.versions for alias in found.aliases}


def test_what_is_written_is_read_and_replaced(tmp_path: Path, registry: Registry) -> None:
    for seed in range(3):
        publish(registry, seed=seed)
    shadow, targets = AliasShadow(3, 0.5), (AliasTarget(2, 90), AliasTarget(1, 10))
    registry.aliases.set("movies", "split", targets=targets, shadow=shadow, expected_revision=0)
    record = RecordFile(tmp_path, NAME)
    assert record.read() is None
    record.write(registry.aliases.aliased())
    found = record.read()
    assert found is not None
    assert list(found.aliases) == list(registry.aliases.aliased())
    record.write([])
    assert names(record) == {}
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [FILE_NAME]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"registry": "x", "read_at": "then", "aliases": []}', b"\xff"]
)
def test_what_cannot_be_read_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    assert RecordFile(tmp_path, NAME).read() is None


def test_another_registrys_record_is_none(tmp_path: Path) -> None:
    RecordFile(tmp_path, NAME).write([])
    assert RecordFile(tmp_path, NAME + "2").read() is None


@pytest.mark.parametrize("name", ["home", "a b/ü%20/c?d#e"])
def test_a_home_that_was_moved_keeps_its_record(tmp_path: Path, name: str) -> None:
    """A server starts from it there, while the database cannot be used; where there is none, it would not."""
    home = tmp_path / name
    with Registry.open(home) as registry:
        publish(registry)
        RecordFile(home, registry.name).write(registry.aliases.aliased())
    moved = home.rename(tmp_path / "moved")
    (moved / "registry.db").write_bytes(b"damaged" * 1000)
    assert not prepare(Settings(home=moved), Verification(tmp_path))
    url = f"sqlite:///{moved / 'other.db'}"
    with Registry.open(moved, database_url=url, check_later=True) as other:
        assert RecordFile(moved, other.name).read() is None


def test_a_record_of_an_earlier_release_is_read(registry: Registry, home: Path) -> None:
    """It has the whole path of the database."""
    record = RecordFile(home, registry.name)
    record.write([])
    written = json.loads((home / FILE_NAME).read_text())
    assert written["registry"] == "registry.db in this home"
    (home / FILE_NAME).write_text(json.dumps({**written, "registry": registry.name}))
    assert record.read() is not None


def test_a_disk_that_takes_none_is_no_harm(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.touch()  # a file where the folder should be
    RecordFile(gone, NAME).write([])
    assert RecordFile(gone, NAME).read() is None


def test_writers_on_one_home_share_no_file_and_what_one_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, staging = RecordFile(tmp_path, NAME), tmp_path / ".staging"
    seen: list[Path] = []

    def flush(_: int) -> None:
        seen.extend(staging.iterdir())
        if len(seen) == 1:  # while one writes, another does, on another machine but with the same number
            record.write([])

    with monkeypatch.context() as writing:
        writing.setattr(os, "fsync", flush)
        record.write([])
    assert len(set(seen)) == 2
    assert not list(staging.iterdir())
    left = staging / "left"
    left.touch()
    record.clean_staging()
    assert left.exists()
    record.clean_staging(timedelta(0))
    assert not left.exists()


def test_a_registrys_name_has_no_secret(registry: Registry, tmp_path: Path) -> None:
    assert registry.name == f"sqlite:///{tmp_path / 'home' / 'registry.db'}"
    url = "postgresql://me:pa55word@db.example:5433/mfserve?sslmode=disable&password=pa55word"
    with Registry.open(tmp_path / "other", database_url=url, check_later=True) as unreached:
        assert unreached.name == "postgresql+psycopg://db.example:5433/mfserve"


async def test_it_follows_what_is_served_and_forgets_what_is_deleted(
    serve: MakeServer, registry: Registry, home: Path
) -> None:
    publish(registry, seed=1)
    server = await serve()
    record = RecordFile(home, registry.name)
    assert names(record) == {"production": [1]}
    publish(registry, seed=2, promote_to="production")
    await wait_for_version(server, 2)
    await _until(record, {"production": [2]})
    # One that cannot be loaded is not what is served.
    damaged = publish(registry, seed=3)
    (registry.snapshots.path(damaged.digest) / "item_counts.npy").unlink()
    registry.aliases.set("movies", "production", 3, expected_revision=2)
    registry.aliases.set("movies", "candidate", 1, expected_revision=0)
    await _until(record, {"candidate": [1], "production": [2]})
    registry.aliases.delete("movies", "candidate", expected_revision=1)
    await _until(record, {"production": [2]})


async def test_a_new_process_serves_what_an_emptied_registry_lacks(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry)
    before = await answer(await serve())
    with registry._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM alias_events")
        connection.exec_driver_sql("DELETE FROM aliases")
    assert await answer(await serve()) == before


async def test_it_keeps_what_answered_last_and_falls_back_to_it(
    serve: MakeServer, registry: Registry, home: Path
) -> None:
    for seed in (1, 2, 3):
        publish(registry, seed=seed)
    await (await serve()).service.stop()
    record = RecordFile(home, registry.name)
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    folder = registry.snapshots.path(registry.models.get_version("movies", 2).digest)
    away = folder.rename(folder.with_suffix(".away"))
    registry.aliases.set("movies", "candidate", 3, expected_revision=0)
    server = await serve()
    assert (await answer(server)).served_version.version == 1
    await _until(record, {"candidate": [3], "production": [1]})
    away.rename(folder)
    await wait_for_version(server, 2)
    await _until(record, {"candidate": [3], "production": [2]})


async def test_it_does_not_fall_back_to_what_was_deleted(serve: MakeServer, registry: Registry) -> None:
    for seed in (1, 2):
        publish(registry, seed=seed)
    server = await serve()
    await server.service.stop()
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    registry.models.delete_version("movies", 1)
    damaged = registry.snapshots.path(registry.models.get_version("movies", 2).digest)
    (damaged / "item_counts.npy").unlink()
    spec = common_pb2.ModelSpec(model="movies")
    request = recommendation_service_pb2.RecommendRequest(model_spec=spec, user_id="u1")
    assert (await failure((await serve()).recommendations.Recommend(request))).reason == "SNAPSHOT_DAMAGED"


async def _until(record: RecordFile, expected: dict[str, list[int]]) -> None:
    await until(lambda: names(record) == expected)
