"""What whoever changes an alias is told of servers that do not follow."""

from __future__ import annotations

import json

import pytest

from mfserve import Client
from mfserve.cli import _followed
from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry
from tests.client.cli.conftest import Finished, Run
from tests.client.services import Served
from tests.server.samples import publish
from tests.waiting import eventually


def test_a_change_that_is_followed_is_waited_for(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_followed, "PATIENCE_SECONDS", 60.0)
    for arguments in (
        ("alias", "movies", "followed", "--split", "1=1", "--split", "2=1"),
        ("promote", "movies", "2", "--alias", "followed"),
        ("alias", "movies", "followed", "1", "--shadow", "2=0.5"),
        ("rollback", "movies", "followed"),
    ):
        changed = run(*arguments, "--json")
        assert (changed.code, changed.err) == (0, "")
        answering = {
            held.served_version.version
            for server in client.serving_status().servers
            for held in server.versions
            if "followed" in held.aliases
        }
        assert answering >= {target["version"] for target in json.loads(changed.out)["targets"]}


def test_a_version_that_cannot_be_loaded_is_told_with_what_mends_it(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "damaged", seed=11)
    broken = publish(registry, "damaged", seed=12)
    (registry.snapshots.path(broken.digest) / "item_counts.npy").unlink()
    monkeypatch.setattr(_followed, "PATIENCE_SECONDS", 0.5)

    def told() -> Finished | None:
        changed = run("alias", "damaged", "production", "2")
        assert (changed.code, changed.out[:24]) == (0, "production → version 2 (")
        return changed if "item_counts.npy is missing" in changed.err else None

    said = eventually(told, "the server has tried the version")
    assert said.err.startswith("version 2 does not answer on ")
    assert "Version 2 of model damaged cannot be loaded: item_counts.npy is missing. Import an" in said.err
    assert "production" in run("rollback", "damaged").out


def test_servers_are_named_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_followed, "PATIENCE_SECONDS", 0.0)
    alias = pb.Alias(
        alias="production",
        targets=[pb.AliasTarget(version=3, weight=1)],
        shadow=pb.AliasShadow(version=4, share=0.5),
        revision=5,
    )
    target = pb.ServingVersion(
        served_version=common_pb2.ServedVersion(model="movies", version=3),
        state=pb.SERVING_STATE_AVAILABLE,
        aliases=["production"],
    )
    other = pb.ServingVersion(served_version=common_pb2.ServedVersion(model="songs", version=4))
    shadow = pb.ServingVersion(
        served_version=common_pb2.ServedVersion(model="movies", version=4),
        state=pb.SERVING_STATE_FAILED,
        message="It is [damaged].",
    )
    held = {"a": [target, shadow], "b": [shadow], "c": [other], "d": []}
    servers = [pb.ServerStatus(host=host, pid=7, versions=versions) for host, versions in held.items()]
    server = Served(
        {
            "RollbackAlias": lambda request, context: pb.RollbackAliasResponse(alias=alias),
            "GetServingStatus": lambda request, context: pb.GetServingStatusResponse(servers=servers),
        }
    )
    assert run("rollback", "movies", "--address", server.address).err.splitlines() == [
        "version 4 does not answer on a:7, b:7: It is [damaged].",
        "version 3 does not answer on b:7, c:7, d:7: not yet; `mfserve status` tells when it does",
        "version 4 does not answer on c:7, d:7: not yet; `mfserve status` tells when it does",
    ]
    server.stop()


def test_a_change_was_made_also_where_nobody_tells_who_follows(run: Run) -> None:
    alias = pb.Alias(alias="production", targets=[pb.AliasTarget(version=3, weight=1)], revision=5)
    server = Served({"RollbackAlias": lambda request, context: pb.RollbackAliasResponse(alias=alias)})
    changed = run("rollback", "movies", "--address", server.address)
    assert (changed.code, changed.out) == (0, "production → version 3 (revision 5)\n")
    assert changed.err.startswith("Whether the servers follow is not known: ")
    server.stop()
