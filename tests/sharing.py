"""How the processes of ``make test`` share the tests: whole files, the longest first."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    f"tests/integration/test_{name}.py": "movielens"
    for name in ("callers", "movielens", "readme", "report", "trainer_killed")
}
"""Files that stay in one process, by what they share there."""

LONG = (
    "movielens",
    "tests/trainer/test_trainers.py",
    "tests/client/real/test_documentation.py",
    "tests/integration/test_cluster.py",
    "tests/trainer/test_jobs.py",
    "tests/trainer/test_outages.py",
    "tests/trainer/test_fitter.py",
    "tests/integration/test_without_registry.py",
    "tests/trainer/tuning/test_tuning_jobs.py",
    "tests/trainer/tuning/test_tune.py",
    "tests/integration/test_promotion.py",
    "tests/registry/crashes/test_killed_publishers.py",
    "tests/trainer/engines/test_keras_network.py",
    "tests/integration/test_full_disk.py",
    "tests/trainer/test_bad_input.py",
    "tests/trainer/test_training.py",
    "tests/server/test_processes.py",
    "tests/client/cli/test_exit_codes.py",
    "tests/client/cli/test_wrong_input.py",
    "tests/client/cli/test_terminal.py",
)
"""What takes longest, in this order: whoever begins with it does not end with it, the others long idle."""

SHORT = ("tests/registry/", "tests/scoring/")
"""Folders whose files take a few seconds each: kept for the end, to which the processes come together."""


def shared_by(test: str) -> str:
    """The file of a test, by its id; or what it shares with other files."""
    file = test.partition("::")[0]
    return TOGETHER.get(file, file)


def turn(test: str) -> int:
    """When a test is begun: lower is earlier, and those of one turn stay in their order."""
    share = shared_by(test)
    if share in LONG:
        return LONG.index(share)
    return len(LONG) + share.startswith(SHORT)


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # untyped to mypy; deriving from it is meant
    """Spreads files, not tests, over the processes: what a file's tests share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return shared_by(nodeid)
