"""``mfserve trainer`` and ``mfserve datasets``, as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfserve_registry.spec import BUILTIN_DATASETS


def mfserve(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mfserve", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def refusal(*arguments: str | Path, code: int, **environment: str) -> str:
    """The one line with which it is refused."""
    done = mfserve(*arguments, **environment)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.strip()


def test_datasets_are_listed_for_a_person_and_for_a_program(tmp_path: Path) -> None:
    table = mfserve("datasets", MFSERVE_CACHE_DIR=str(tmp_path)).stdout
    listed = json.loads(mfserve("datasets", "--json", MFSERVE_CACHE_DIR=str(tmp_path)).stdout)
    assert [one["name"] for one in listed] == list(BUILTIN_DATASETS)
    assert listed[0]["ratings"] == 100_000
    assert listed[0]["scale"] == {"minimum": 1.0, "maximum": 5.0}
    assert not any(one["cached"] for one in listed)
    for one in listed:
        assert one["name"] in table
        assert f"{one['ratings']:,}" in table


def test_an_unknown_dataset_is_refused() -> None:
    line = refusal("datasets", "fetch", "netflix", code=2)
    assert line.startswith("mfserve datasets: ")
    assert "netflix" in line


@pytest.mark.parametrize(
    ("flags", "environment", "code", "named"),
    [
        (["--lease-seconds", "0"], {}, 2, "--lease-seconds"),
        (["--max-fit-bytes", "2GB"], {}, 2, "--max-fit-bytes"),
        (["--max-fit-seconds", "0"], {}, 2, "--max-fit-seconds"),
        (["--log-level", "loud"], {}, 2, "--log-level"),
        ([], {"MFSERVE_LEASE_SECONDS": "soon"}, 2, "MFSERVE_LEASE_SECONDS"),
        ([], {"MFSERVE_JOB_POLL_SECONDS": "-1"}, 2, "MFSERVE_JOB_POLL_SECONDS"),
        ([], {"MFSERVE_DATABASE_URL": "nonsense"}, 2, "database"),
        (["--config", "/missing.toml"], {}, 2, "/missing.toml"),
        (["--home", "/dev/null/home"], {}, 1, "/dev/null/home"),
    ],
)
def test_wrong_settings_are_refused(
    tmp_path: Path, flags: list[str], environment: dict[str, str], code: int, named: str
) -> None:
    line = refusal("trainer", *flags, code=code, **{"MFSERVE_HOME": str(tmp_path), **environment})
    assert line.startswith("mfserve trainer: ")
    assert named in line


@pytest.mark.parametrize(
    ("text", "named"),
    [("port = 4\n", "port"), ("lease_seconds = \n", "config.toml"), ("lease_seconds = 0\n", "lease")],
)
def test_wrong_settings_in_a_file_are_refused(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    assert named in refusal("trainer", "--home", tmp_path, code=2, MFSERVE_CONFIG=str(config))


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("these bytes are no database" * 100)
    assert "not a database" in refusal("trainer", "--home", tmp_path, code=1)
