"""What the registry's tests share."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mfserve_registry import Artifact, Claim, JobRequest, Registry, Version
from mfserve_registry.canonical import canonical_json
from mfserve_registry.snapshot import write_snapshot
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, TrainingSpec
from tests.places import Place
from tests.registry.snapshot.samples import random_content

LEASE = timedelta(seconds=30)
JOBS = 30
EPOCH = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, step: timedelta) -> None:
        self.now += step


def request(
    request_id: str = "r1", model: str = "movies", *, promote_to_alias: str | None = None, seed: int = 0
) -> JobRequest:
    return JobRequest(
        model=model,
        dataset=DatasetSpec(source=BuiltinDataset(name="movielens-100k")),
        spec=TrainingSpec(seed=seed),
        promote_to_alias=promote_to_alias,
        request_id=request_id,
    )


def claimed(registry: Registry, job: JobRequest, worker: str = "w") -> Claim:
    """Submits the job and claims it; nothing else may be waiting."""
    registry.jobs.submit(job)
    claim = registry.jobs.claim(worker, LEASE)
    assert claim is not None
    assert claim.request == job
    return claim


def stage(registry: Registry, seed: int = 0) -> tuple[Path, str]:
    """A written snapshot, not committed, and its digest."""
    staged = registry.snapshots.stage()
    return staged, write_snapshot(staged, random_content(seed))


def publish(
    registry: Registry,
    request_id: str = "r1",
    model: str = "movies",
    *,
    promote_to_alias: str | None = None,
    seed: int = 0,
    artifacts: Sequence[Artifact] = (),
) -> Version:
    claim = claimed(registry, request(request_id, model, promote_to_alias=promote_to_alias))
    return registry.publish(claim, *stage(registry, seed), artifacts, metrics={"rmse": 0.9})


def run_together(what: str, place: Place, processes: int = 3) -> list[list[dict[str, object]]]:
    """Runs a function of ``processes.py`` in several processes that begin at one moment; what each told, by line."""
    told = json.dumps(asdict(place), default=str)
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.registry.processes", what, told, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=90)[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes
    return [[json.loads(line) for line in output.splitlines()] for output in outputs]


def spoil(staged: Path, name: str, value: float) -> str:
    """Puts ``value`` into an array of a written snapshot, as if it had been there all along; the new digest."""
    file = staged / f"{name}.npy"
    data = bytearray(file.read_bytes())
    data[-4:] = struct.pack("<f", value)
    file.write_bytes(data)
    manifest = json.loads((staged / FILE_NAME).read_bytes())
    manifest["arrays"][name]["sha256"] = digest_of(bytes(data))
    (staged / FILE_NAME).write_text(canonical_json(manifest))
    return digest_of((staged / FILE_NAME).read_bytes())
