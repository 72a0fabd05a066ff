"""An imported version is what was exported, and is published as one that was trained here."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from mfserve_registry import Registry, Version
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.tables import versions
from tests.places import Place
from tests.registry.archive.files import CURVE, EMPTY
from tests.registry.helpers import EPOCH, Clock, publish
from tests.registry.test_promoting import FINE, UNKNOWN, WORSE, published, report

Archived = tuple[Version, Path]


def test_what_was_exported_comes_back(
    place: Place, registry: Registry, archived: Archived, source: Registry
) -> None:
    exported, path = archived
    published = registry.import_version(path)
    version = published.version
    assert published.new
    assert registry.models.get_version("movies", 1) == version
    assert (version.model, version.version, version.aliases) == ("movies", 1, ("production",))
    assert (version.job_id, version.attempt, version.created_at) == (None, None, EPOCH)
    for same in ("digest", "metrics", "facts", "size_bytes", "artifacts"):
        assert getattr(version, same) == getattr(exported, same)
    for artifact in (CURVE, EMPTY):
        assert registry.artifacts.read("movies", 1, artifact.name)[1] == artifact.data
    here, there = (each.snapshots.path(version.digest) for each in (registry, source))
    assert {file.name: file.read_bytes() for file in here.iterdir()} == {
        file.name: file.read_bytes() for file in there.iterdir()
    }
    Snapshot.open(here, version.digest)
    assert list(place.staging.iterdir()) == []


def test_numbers_go_on_and_aliases_stay(registry: Registry, archived: Archived) -> None:
    publish(registry, seed=5)
    version = registry.import_version(archived[1]).version
    assert (version.version, version.aliases) == (2, ())
    assert registry.models.resolve("movies").version == 1
    assert publish(registry, "next", seed=6).version == 3


def test_under_another_name(registry: Registry, archived: Archived) -> None:
    publish(registry, seed=5)
    version = registry.import_version(archived[1], model="films").version
    assert (version.model, version.version, version.aliases) == ("films", 1, ("production",))
    with pytest.raises(InvalidArgument) as caught:
        registry.import_version(archived[1], model="Films!")
    assert caught.value.field == "model"


def test_what_failed_its_gates_has_failed_them_under_another_name_too(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry)
    version, _ = published(registry, report(FINE, WORSE))
    registry.export_version("movies", version.version, tmp_path / "a")
    imported = registry.import_version(tmp_path / "a", model="films").version
    assert imported.gates == version.gates
    assert imported.aliases == (), "the first of its model, and yet not in production"
    with pytest.raises(FailedPrecondition) as refused:
        registry.promote("films", 1)
    assert refused.value.reason == "GATES_FAILED"
    assert registry.promote("films", 1, force=True, reason="We know.").targets[0].version == 1


def test_what_failed_its_gates_has_failed_them_after_a_deletion_too(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry)
    version, _ = published(registry, report(WORSE))
    registry.export_version("movies", version.version, tmp_path / "a")
    registry.models.delete_version("movies", version.version)
    back = registry.import_version(tmp_path / "a").version
    assert (back.version, back.gates) == (3, version.gates)
    with pytest.raises(FailedPrecondition) as refused:
        registry.promote("movies", 3)
    assert refused.value.reason == "GATES_FAILED"


def test_what_passed_its_gates_takes_production_as_the_first(registry: Registry, tmp_path: Path) -> None:
    version, _ = published(registry, report(FINE, UNKNOWN, revision=0))
    registry.export_version("movies", 1, tmp_path / "a")
    imported = registry.import_version(tmp_path / "a", model="films").version
    assert (imported.gates, imported.aliases) == (version.gates, ("production",))


def test_twice_is_once(registry: Registry, archived: Archived, clock: Clock) -> None:
    first = registry.import_version(archived[1])
    again = registry.import_version(archived[1])
    assert (first.new, again.new) == (True, False)
    assert again.version == first.version
    assert registry.import_version(archived[1], model="films").new
    assert [version.version for version in registry.models.list_versions("movies").items] == [1]


def test_where_it_was_trained_it_is_there(source: Registry, archived: Archived) -> None:
    published = source.import_version(archived[1])
    assert (published.new, published.version) == (False, archived[0])


def test_what_was_deleted_comes_back_with_another_number(registry: Registry, archived: Archived) -> None:
    registry.import_version(archived[1])
    with registry._database.write() as connection:
        connection.execute(update(versions).values(deleted_at=EPOCH))
    published = registry.import_version(archived[1])
    assert (published.new, published.version.version) == (True, 2)


def test_what_was_imported_exports_as_the_same_snapshot(
    registry: Registry, archived: Archived, tmp_path: Path
) -> None:
    registry.import_version(archived[1], model="films")
    registry.export_version("films", 1, tmp_path / "films-1.mfserve")
    version = registry.import_version(tmp_path / "films-1.mfserve", model="third").version
    assert (version.digest, version.artifacts) == (archived[0].digest, archived[0].artifacts)


def test_damage_in_the_store_is_mended(place: Place, registry: Registry, archived: Archived) -> None:
    version = registry.import_version(archived[1]).version
    place.damage(f"snapshots/{version.digest}/item_counts.npy")
    for name in place.stored("artifacts"):
        place.damage(f"artifacts/{name}")
    assert not registry.import_version(archived[1]).new
    Snapshot.open(registry.snapshots.path(version.digest), version.digest)
    assert registry.artifacts.read("movies", 1, CURVE.name)[1] == CURVE.data


def test_many_at_once_make_one_version(registry: Registry, archived: Archived) -> None:
    together = threading.Barrier(4)

    def import_one(_: int) -> tuple[int, bool]:
        together.wait()
        published = registry.import_version(archived[1])
        return published.version.version, published.new

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(import_one, range(4)))
    assert sorted(results) == [(1, False), (1, False), (1, False), (1, True)]


def test_from_a_pipe(registry: Registry, archived: Archived, archive: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[archive])
    writer.start()
    assert registry.import_version(pipe).version.digest == archived[0].digest
    writer.join()


def test_progress_ends_at_the_total(registry: Registry, archived: Archived) -> None:
    told: list[tuple[int, int]] = []
    registry.import_version(archived[1], progress=lambda *step: told.append(step))
    total = archived[0].size_bytes + len(CURVE.data)
    assert told == sorted(told)
    assert told[-1] == (total, total)
