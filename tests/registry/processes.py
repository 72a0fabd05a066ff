"""What ``helpers.run_together`` runs: ``python -m tests.registry.processes WHAT PLACE NUMBER``."""

from __future__ import annotations

import json
import random
import sys
from datetime import timedelta
from pathlib import Path

import structlog

from mfserve_registry import Progress, Registry
from mfserve_registry.errors import Aborted
from tests.places import Place
from tests.registry.helpers import JOBS, request, stage

LEASE = timedelta(minutes=5)  # longer than the test: no lease ends by itself


def submit(registry: Registry, number: int) -> None:
    for index in random.Random(number).sample(range(JOBS), JOBS):
        job, created = registry.jobs.submit(request(f"r{index}"))
        tell(request_id=job.request_id, job_id=job.job_id, created=created)


def work(registry: Registry, number: int) -> None:
    chance = random.Random(number)
    while claim := registry.jobs.claim(f"worker {number}", LEASE):
        registry.jobs.record(claim, [Progress("rating fit", epoch) for epoch in range(3)])
        assert registry.jobs.renew(claim, LEASE) is False
        version = None
        ending = chance.random()
        if ending < 0.15 and claim.attempt < 3:
            registry.jobs.fail(claim, "INTERNAL", "By chance.", retry=True)
        elif ending < 0.3:
            registry.jobs.release(claim)
        else:
            version = registry.publish(claim, *stage(registry, chance.randrange(4))).version
        tell(job_id=claim.job_id, attempt=claim.attempt, version=version)


def move(registry: Registry, number: int) -> None:
    for _ in range(20):
        revision = registry.aliases.get("movies", "production").revision
        try:
            registry.aliases.set("movies", "production", 1, expected_revision=revision, actor=str(number))
        except Aborted:
            tell(won=False)
        else:
            tell(won=True, revision=revision + 1)


def commit(registry: Registry, number: int) -> None:
    for _ in range(3):
        staged, digest = stage(registry, 34)
        registry.snapshots.commit(staged, digest)
        tell(digest=digest)


def hold(registry: Registry, number: int) -> None:
    with registry.snapshots.hold(registry.models.resolve("movies").digest) as held:
        tell(inode=held.path.stat().st_ino)


def open_fresh(registry: Registry, number: int) -> None:
    registry.jobs.submit(request(f"r{number}"))


RUNS = (submit, work, move, commit, hold, open_fresh)


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")


def main() -> None:
    what, told, number = sys.argv[1:]
    urls = json.loads(told)
    place = Place(Path(urls.pop("home")), **urls)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with place.open() as registry:
        {run.__name__: run for run in RUNS}[what](registry, int(number))


if __name__ == "__main__":
    main()
