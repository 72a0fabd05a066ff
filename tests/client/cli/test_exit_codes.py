"""What an exit code means is the same for every command: 2 what is wrong in itself, 1 what cannot be done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfserve_registry import Artifact, Registry
from mfserve_registry.snapshot import write_snapshot
from mfserve_registry.spec import TrainingSpec, TuningConfig
from tests.client.cli.conftest import Run
from tests.client.cli.reference import commands
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, LEASE, job_request

M100K = "movielens-100k"
PLUGINS = {"serve", "trainer", "datasets", "export", "import", "gc"}
"""Those that set up their process, and so need one of their own."""

# Of each command: what cannot be read, what it refuses by itself, what a server's INVALID_ARGUMENT says of it.
WRONG = {
    "train": [["m"], ["m", M100K, "--epochs", "3"], ["M!", M100K]],
    "tune": [
        ["m", M100K, "--trials", "many"],
        ["m", M100K, "--request-id", ""],
        ["m", M100K, "--trials", "0"],
    ],
    "recommend": [["movies", "1", "--limit", "0"], ["movies"], ["movies", ""]],
    "predict": [["movies", "1"], ["movies", "1", "2", "--version", "1", "--alias", "a"], ["movies", "", "1"]],
    "similar": [["movies"], ["movies", "1", "--address", "nobody:99999"], ["movies", ""]],
    "models": [["a", "b"], ["--address", ""], ["M!"]],
    "versions": [[], ["movies", "--output", "x"], ["M!"]],
    "alias": [["movies", "a", "one"], ["movies", "a"], ["movies", "A!", "1"]],
    "promote": [["movies"], ["movies", "1", "--alias", "A!"], ["movies", "1", "--force"]],
    "rollback": [[], ["movies", "production", "more"], ["movies", "A!"]],
    "alias-history": [[], ["movies", "production", "--at", "yesterday"], ["movies", "A!"]],
    "delete-version": [["movies"], ["movies", "one", "--yes"], ["M!", "1", "--yes"]],
    "delete-model": [[], ["movies", "1"], ["M!", "--yes"]],
    "export": [["movies"], ["M!", "1"]],
    "import": [[], ["a", "b"]],
    "report": [[], ["movies", "--output", "-", "--json"], ["M!"]],
    "jobs": [["--limit", "0"], ["--wait"], ["--model", "M!"]],
    "status": [["more"], ["--address", "http://here"]],
    "embeddings": [["movies"], ["movies", "--output", "x.csv"], ["M!", "--output", "x.npz"]],
    "compare": [["movies", "1"], ["movies", "1", "1"], ["M!", "1", "2"]],
    "gc": [["more"], ["--keep-last", "0"], ["--grace", "soon"]],
    "bench": [["movies", "--only", "neither"], ["movies", "--only", "bulk", "--rate", "5"], ["M!"]],
    "serve": [["--port", "http"], ["--port", "70000"], ["--reply-cache-bytes", "64MB"]],
    "token": [["ann"], ["ann", "--scope", "admin", "--expires", "soon"]],
    "trainer": [["--lease-seconds", "soon"], ["--lease-seconds", "0"], ["--config", "/no/such.toml"]],
    "datasets": [["fetch"], ["fetch", "netflix"]],
}
FAILS = {
    "train": ["m", "/etc/passwd"],
    "tune": ["m", "/etc/passwd"],
    "recommend": ["nothing", "1"],
    "predict": ["nothing", "1", "2"],
    "similar": ["movies", "no-such-item"],
    "models": ["nothing"],
    "versions": ["movies", "99"],
    "alias": ["movies", "candidate", "99"],
    "promote": ["movies", "99"],
    "rollback": ["movies", "candidate"],
    "alias-history": ["nothing", "production"],
    "delete-version": ["movies", "99", "--yes"],
    "delete-model": ["nothing", "--yes"],
    "export": ["nothing", "1", "--home", "/dev/null/home"],
    "import": ["no-such-file", "--home", "/dev/null/home"],
    "report": ["nothing"],
    "jobs": ["no-such-job"],
    "status": ["--address", "127.0.0.1:1"],
    "embeddings": ["nothing", "--output", "x.npz"],
    "compare": ["movies", "1", "99"],
    "gc": ["--home", "/dev/null/home"],
    "bench": ["movies", "--user-ids", "no/such/file"],
    "serve": ["--home", "/dev/null/home"],
    "token": ["ann", "--scope", "admin", "--append", "/dev/null/callers"],
    "trainer": ["--home", "/dev/null/home"],
}


def test_every_command_is_here() -> None:
    assert set(WRONG) == set(commands())
    assert set(WRONG) - set(FAILS) == {"datasets"}  # what may fail there is a download


def test_a_file_that_may_not_be_read_is_told_of_by_who_reads_it() -> None:
    paths = [
        (name, one)
        for name, command in commands().items()
        for one in command.params
        if one.type_descriptor.is_path
    ]
    assert paths
    # typer would refuse it as wrong usage, and only where it is there.
    assert not [(name, one.name) for name, one in paths if one.type_descriptor.parameter_info.readable]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        *(([name, *more], 2) for name, examples in WRONG.items() for more in examples),
        *(([name, *more], 1) for name, more in FAILS.items()),
        *(([name, "--no-such-option"], 2) for name in WRONG),
        *(([name, "--help"], 0) for name in WRONG),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_exit_code_tells_what_is_wrong_from_what_failed(
    run: Run, process: Run, arguments: list[str], code: int
) -> None:
    own_process = arguments[0] in PLUGINS and "--help" not in arguments
    finished = (process if own_process else run)(*arguments)
    assert finished.code == code, finished.err
    assert "Traceback" not in finished.err
    assert bool(finished.err) == (code != 0)
    assert bool(finished.out) == (code == 0)


def test_a_file_of_the_servers_that_is_damaged_is_no_wrong_usage(run: Run, registry: Registry) -> None:
    job, _ = registry.jobs.submit(
        replace(job_request("tuned"), spec=TrainingSpec(tuning=TuningConfig(trials=1)))
    )
    held, staged = registry.jobs.claim("test", LEASE), registry.snapshots.stage()
    assert held is not None
    digest = write_snapshot(staged, replace(random_content(0), facts=FACTS))
    registry.publish(held, staged, digest, [Artifact("tuning-trials.json", "application/json", b"{")])
    finished = run("jobs", job.job_id, "--wait")
    assert (finished.code, finished.out) == (1, "")
    assert "error: tuning-trials.json of tuned version 1 is no JSON" in finished.err
