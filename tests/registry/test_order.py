"""The database names a version only when all that it needs is durable: the calls that prove it, in their order."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from re import escape

import pytest

from tests.places import BUCKET, Place
from tests.programs import needs
from tests.registry.tracing import traced

PUBLISH = """
import json, sys
from pathlib import Path
from mfserve_registry import Artifact
from tests.places import Place
from tests.registry.helpers import publish
told = json.loads(sys.argv[1])
with Place(Path(told.pop("home")), **told).open() as registry:
    print(publish(registry, artifacts=[Artifact("a.txt", "text/plain", b"a")]).digest)
"""


def told(place: Place) -> str:
    return json.dumps(asdict(place), default=str)


@needs("strace")
@pytest.mark.parametrize("place", ["sqlite-folder"], indirect=True)
def test_in_a_folder_its_entries_are_flushed_before_the_commit(place: Place, tmp_path: Path) -> None:
    calls = "pwrite64,fsync,fdatasync,rename,renameat,renameat2"
    trace = traced(PUBLISH, told(place), calls=calls, log=tmp_path / "strace.log", text=5000)
    digest = trace.output.strip()
    [artifact] = (path for path in (place.home / "artifacts").rglob("*") if path.is_file())
    log = escape(str(place.home / "registry.db-wal"))
    named = trace.first(rf"pwrite64\(\d+<{log}>.*{digest}")
    for kept in (place.home / "snapshots" / digest, artifact):
        [renamed] = trace.positions(rf'rename.*"{escape(str(kept))}"')
        for folder in kept.relative_to(place.home).parents:
            flushed = trace.first(rf"fsync\(\d+<{escape(str(place.home / folder))}>\)", after=renamed)
            assert flushed < named
    trace.first(rf"(fsync|fdatasync)\(\d+<{log}>\)", after=named)


@needs("strace")
@pytest.mark.parametrize("place", ["postgres-s3"], indirect=True)
def test_in_a_bucket_all_is_answered_and_the_manifest_last_before_the_commit(
    place: Place, tmp_path: Path
) -> None:
    calls = "write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg"
    trace = traced(PUBLISH, told(place), calls=calls, log=tmp_path / "strace.log", text=400)
    digest = trace.output.strip()
    stored = [f"{kind}/{name}" for kind in ("snapshots", "artifacts") for name in place.stored(kind)]
    prefix = f"{str(place.store_url).removeprefix('s3://')}"
    assert prefix.startswith(BUCKET)

    def answered(name: str) -> tuple[int, int]:
        """When the request was sent, and when its connection said that it is done."""
        [sent] = trace.positions(rf'"PUT /{escape(prefix)}/{escape(name)}[ ?]')
        connection = trace.connection(sent)
        return sent, trace.first(rf'{escape(connection)}.*"HTTP/1.1 200 OK', after=sent)

    manifest = f"snapshots/{digest}/manifest.json"
    others = [answered(name) for name in stored if name != manifest]
    sent, done = answered(manifest)
    assert len(others) > 10
    assert max(answer for _, answer in others) < sent
    named = trace.first("INSERT INTO versions")
    committed = trace.first(r"COMMIT", after=named)
    assert done < named < committed
