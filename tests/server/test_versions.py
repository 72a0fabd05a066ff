"""Which version answers: hot swaps, names that are new, damage, a registry that is away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from sqlalchemy import update

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry, ResolvedVersion, publishing, tables
from mfserve_registry.snapshot import write_snapshot
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from mfserve_server import catalog
from mfserve_server.loading import LoadedVersion, Loader
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server, Told, failure
from tests.server.conftest import MakeServer
from tests.server.samples import claim, publish
from tests.waiting import until


async def answer(server: Server, model: str = "movies", **choice: object) -> pb.RecommendResponse:
    spec = common_pb2.ModelSpec(model=model, **choice)  # type: ignore[arg-type] # a version or an alias
    response: pb.RecommendResponse = await server.recommendations.Recommend(
        pb.RecommendRequest(model_spec=spec, user_id="u1")
    )
    return response


async def wait_for_version(server: Server, version: int, model: str = "movies") -> None:
    async def serves() -> bool:
        return bool((await answer(server, model)).served_version.version == version)

    await until(serves)


async def states(server: Server) -> dict[tuple[str, int], models_pb.ServingVersion]:
    """What the answering process holds, by model and version."""
    status = await server.models.GetServingStatus(models_pb.GetServingStatusRequest())
    (own,) = [found for found in status.servers if found.server_id == status.answered_by]
    return {(v.served_version.model, v.served_version.version): v for v in own.versions}


async def test_a_version_that_was_published_is_found_at_once(serve: MakeServer, registry: Registry) -> None:
    server = await serve(poll_seconds=60)
    for n in range(1, 11):
        publish(registry, f"model-{n}")
        assert (await answer(server, f"model-{n}")).served_version.version == 1
    for n in range(1, 11):
        version = publish(registry, seed=n).version
        assert (await answer(server, version=version)).served_version.version == version
        assert (await answer(server, alias="latest")).served_version.version == version
    assert (await answer(server)).served_version.version == 1
    registry.aliases.set("movies", "candidate", 4, expected_revision=0)
    assert (await answer(server, alias="candidate")).served_version.version == 4


async def test_many_who_ask_at_once_share_one_load(serve: MakeServer, registry: Registry) -> None:
    server = await serve(poll_seconds=60)
    publish(registry)
    answers = await asyncio.gather(*(answer(server, version=1) for _ in range(50)))
    assert len({response.SerializeToString() for response in answers}) == 1


async def test_a_swap_fails_no_call_and_every_answer_is_that_of_its_version(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    server = await serve()
    expected = {1: await answer(server)}
    seen: set[int] = set()
    done = asyncio.Event()

    async def call() -> None:
        while not done.is_set():
            response = await answer(server)
            version = response.served_version.version
            seen.add(version)
            assert response == expected.get(version, response)

    callers = [asyncio.create_task(call()) for _ in range(8)]
    for seed in range(2, 8):
        published = await asyncio.to_thread(publish, registry, seed=seed)
        expected[published.version] = await answer(server, version=published.version)
        revision = registry.aliases.get("movies", "production").revision
        await asyncio.to_thread(
            registry.aliases.set, "movies", "production", published.version, expected_revision=revision
        )
        await wait_for_version(server, published.version)
    done.set()
    await asyncio.gather(*callers)
    assert seen == set(range(1, 8))
    assert len({response.SerializeToString() for response in expected.values()}) == 7


def _flip(file: Path) -> None:
    """Replaced, never rewritten: a server may have the old file mapped."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = file.with_suffix(".damaged")
    damaged.write_bytes(data)
    damaged.replace(file)


def _newer_format(folder: Path) -> str:
    file = folder / "manifest.json"
    data = file.read_bytes().replace(b'"format":1', b'"format":2')
    file.unlink()
    file.write_bytes(data)
    return digest_of(data)


FILES = sorted(["manifest.json", "rating_user_factors.npy", "item_id_slots.npy", "rated_indptr.npy"])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["flipped", "missing"])
async def test_a_damaged_snapshot_is_refused_and_told_while_the_old_version_answers(
    file: str, damage: str, serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    server = await serve()
    before = await answer(server)
    damaged = publish(registry, seed=2)
    path = registry.snapshots.path(damaged.digest) / file
    if damage == "flipped":
        _flip(path)
    else:
        path.unlink()
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    await until(lambda: _has_failed(server, 2))
    told = (await states(server))["movies", 2]
    assert told.message.startswith("SNAPSHOT_DAMAGED: Version 2 of model movies cannot be loaded: ")
    assert file in told.message
    assert list((await states(server))["movies", 1].aliases) == ["production"]
    assert await answer(server) == before
    found = await _fails(server, 2)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_DAMAGED")
    assert found.metadata == {"model": "movies", "version": "2"}
    assert found.message == told.message.removeprefix("SNAPSHOT_DAMAGED: ")


async def test_a_missing_snapshot_is_told(serve: MakeServer, registry: Registry) -> None:
    server = await serve()
    shutil.rmtree(registry.snapshots.path(publish(registry).digest))
    assert (await _fails(server, 1)).reason == "SNAPSHOT_MISSING"


async def test_a_snapshot_of_a_newer_release_is_told(
    serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NewerReader:
        """The reader of the release that publishes, which knows its own format."""

        @staticmethod
        def open(directory: Path, digest: str) -> None:
            assert digest_of((directory / FILE_NAME).read_bytes()) == digest

    held = claim(registry)
    staged = registry.snapshots.stage()
    write_snapshot(staged, random_content())
    with monkeypatch.context() as newer:
        newer.setattr(publishing, "Snapshot", NewerReader)
        registry.publish(held, staged, _newer_format(staged))
    server = await serve()
    found = await _fails(server, 1)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_TOO_NEW")
    assert found.message.endswith("Install a newer mfserve.")
    assert (await states(server))["movies", 1].state == models_pb.SERVING_STATE_FAILED


async def test_a_version_that_could_not_be_loaded_is_tried_again(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    server = await serve()
    published = publish(registry, seed=2)
    folder = registry.snapshots.path(published.digest)
    folder.rename(folder.with_suffix(".away"))
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    await until(lambda: _has_failed(server, 2))
    folder.with_suffix(".away").rename(folder)
    await wait_for_version(server, 2)
    assert (await states(server))["movies", 2].state == models_pb.SERVING_STATE_AVAILABLE


async def test_what_the_error_of_a_damaged_version_advises_mends_it(
    serve: MakeServer, registry: Registry, tmp_path: Path
) -> None:
    folder = registry.snapshots.path(publish(registry).digest)
    registry.export_version("movies", 1, tmp_path / "archive")
    (folder / "item_counts.npy").unlink()
    server = await serve()
    assert "Import an archive of this version (mfserve import)" in (await _fails(server, 1)).message
    assert not registry.import_version(tmp_path / "archive").new

    async def mended() -> bool:
        return (await states(server))["movies", 1].state == models_pb.SERVING_STATE_AVAILABLE

    await until(mended)
    await answer(server)


async def test_callers_are_told_when_a_version_is_tried_again(
    serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(loader: Loader, wanted: ResolvedVersion) -> LoadedVersion:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Loader, "load", fail)
    monkeypatch.setattr(catalog, "FIRST_RETRY_SECONDS", 40.0)
    server = await serve(poll_seconds=60)  # so that the first to try is a caller
    publish(registry)
    first, again = [await _fails(server, 1) for _ in range(2)]
    assert first.retry_seconds == 40.0
    assert again.message == first.message
    assert again.retry_seconds is not None
    assert 1.0 < again.retry_seconds < 40.0


async def test_what_answers_goes_on_without_its_registry(serve: MakeServer, registry: Registry) -> None:
    publish(registry, seed=1)
    publish(registry, seed=2)
    server = await serve()
    before = await answer(server)
    await answer(server, alias="latest")
    with database_away(registry):
        found = await failure(
            server.recommendations.Recommend(
                pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="other"), user_id="u1")
            )
        )
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        assert await answer(server) == before
        assert (await answer(server, alias="latest")).served_version.version == 2
        assert (await states(server))["movies", 1].state == models_pb.SERVING_STATE_AVAILABLE
    assert (await answer(server, alias="latest")).served_version.version == 2


async def test_an_emptied_registry_unloads_nothing(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    server = await serve()
    before = await answer(server)
    with registry._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM alias_events")
        connection.exec_driver_sql("DELETE FROM aliases")
    for _ in range(20):
        assert await answer(server) == before
        await asyncio.sleep(0.01)


async def test_a_number_that_becomes_another_snapshots_is_loaded_anew(
    serve: MakeServer, registry: Registry
) -> None:
    """As after a database was restored: of versions that an alias names, and of others."""
    before = [publish(registry, seed=seed).digest for seed in (1, 2)]
    after = [publish(registry, "other", seed=seed).digest for seed in (3, 4)]
    server = await serve()
    versions = (1, 2)
    assert [await _digest(server, version) for version in versions] == before
    with registry._database.write() as connection:
        for version, digest in zip(versions, after, strict=True):
            connection.execute(
                update(tables.versions)
                .where(tables.versions.c.model == "movies", tables.versions.c.version == version)
                .values(digest=digest)
            )

    async def is_new() -> bool:
        return [await _digest(server, version) for version in versions] == after

    await until(is_new)
    assert (await answer(server)).served_version.digest == after[0]
    found = await states(server)
    assert [found["movies", version].served_version.digest for version in versions] == after


async def test_versions_on_demand_are_bounded_by_number(serve: MakeServer, registry: Registry) -> None:
    for seed in range(6):
        publish(registry, seed=seed)
    server = await serve(max_loaded_versions=2)
    for version in (2, 3, 4, 3, 5):
        assert (await answer(server, version=version)).served_version.version == version
    assert {version for _, version in await states(server)} == {1, 3, 5}
    assert (await answer(server, version=2)).served_version.version == 2


async def test_versions_on_demand_are_bounded_by_size(serve: MakeServer, registry: Registry) -> None:
    for seed in range(4):
        publish(registry, seed=seed)
    server = await serve(max_loaded_bytes=0)
    for version in (2, 3, 4):
        await answer(server, version=version)
    assert {version for _, version in await states(server)} == {1, 4}


async def test_versions_with_one_digest_share_one_snapshot(serve: MakeServer, registry: Registry) -> None:
    first, second = publish(registry, seed=1), publish(registry, seed=1)
    assert first.digest == second.digest
    server = await serve()
    answers = [await answer(server, version=1), await answer(server, version=2)]
    assert [response.served_version.version for response in answers] == [1, 2]
    assert answers[0].recommendations == answers[1].recommendations


async def _digest(server: Server, version: int) -> str:
    return (await answer(server, version=version)).served_version.digest


async def _has_failed(server: Server, version: int) -> bool:
    found = (await states(server)).get(("movies", version))
    return found is not None and found.state == models_pb.SERVING_STATE_FAILED


async def _fails(server: Server, version: int) -> Told:
    spec = common_pb2.ModelSpec(model="movies", version=version)
    return await failure(server.recommendations.Recommend(pb.RecommendRequest(model_spec=spec, user_id="u1")))


@contextmanager
def database_away(registry: Registry) -> Iterator[None]:
    """Takes away the tables that a server asks, so that every question of its is an error of the database's."""
    tables = ("models", "aliases", "servers")
    with registry._database.write() as connection:
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_away")
    yield
    with registry._database.write() as connection:
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table}_away RENAME TO {table}")
