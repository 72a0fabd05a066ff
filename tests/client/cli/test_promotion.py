"""What the command line shows of promotion gates, and how it promotes past them."""

from __future__ import annotations

import json

import pytest

from mfserve_registry import Registry
from tests.client.cli.conftest import Run
from tests.server.samples import publish
from tests.server.test_gates import REPORT


@pytest.fixture
def gated(registry: Registry) -> str:
    """A model whose version 2 was to be promoted and failed a gate; the id of its job."""
    publish(
        registry, "gated", gates=REPORT.model_copy(update={"incumbent": None, "results": REPORT.results[1:]})
    )
    version = publish(registry, "gated", seed=1, promote_to="production", gates=REPORT)
    assert version.job_id is not None
    return version.job_id


def test_gates_are_shown_and_passed_over_by_force_with_a_reason(run: Run, gated: str) -> None:
    shown = " ".join(run("versions", "gated", "2").out.split())
    assert "Promotion gates, beside version 1 (production)" in shown
    assert "RATING_ERROR" in shown
    assert "FAILED" in shown
    told = " ".join(run("jobs", gated).out.split())
    assert "production was not moved to it: RATING_ERROR failed: RMSE 2." in told
    assert "production named no version to compare with" in run("versions", "gated", "1").out

    for flags in ((), ("--json",)):
        waited = run("jobs", gated, "--wait", *flags)
        assert waited.code == 3
        assert waited.err.splitlines()[-1].startswith(
            "error: production was not moved to version 2: RATING_ERROR"
        )

    refused = run("promote", "gated", "2")
    assert refused.code == 1
    assert "failed gates: RATING_ERROR: RMSE 2." in " ".join(refused.err.split())
    silent = run("promote", "gated", "2", "--force")
    assert silent.code == 2
    assert "--force needs --reason" in silent.err
    forced = run("promote", "gated", "2", "--force", "--reason", "the data changed", "--actor", "ann")
    assert forced.out == "production → version 2 (revision 2)\n"
    event = json.loads(run("alias-history", "gated", "--json").out)[0]
    assert (event["action"], event["actor"], event["reason"]) == ("FORCED", "ann", "the data changed")


def test_a_version_is_promoted_to_another_alias(run: Run, gated: str) -> None:
    made = json.loads(run("promote", "gated", "1", "--alias", "candidate", "--json").out)
    assert (made["alias"], made["revision"]) == ("candidate", 1)
    lost = run("promote", "gated", "1", "--alias", "candidate", "--expected-revision", "7")
    assert lost.code == 1


@pytest.mark.parametrize("command", ["train", "tune"])
def test_bounds_and_no_gates_do_not_go_together(run: Run, command: str) -> None:
    refused = run(command, "gated", "movielens-100k", "--no-gates", "--min-overlap", "0.5")
    assert refused.code == 2
    assert "--no-gates compares nothing" in refused.err
