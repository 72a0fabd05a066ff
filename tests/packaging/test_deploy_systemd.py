"""The systemd units: every directive is one that systemd has, and the programs that they start are ours."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mfserve_registry.setting_faults import ALL_SETTINGS
from mfserve_server.settings import Settings
from tests.packaging.deployment import DEPLOY, SIGNING_OFF_SECONDS
from tests.programs import needs

UNITS = {path.stem.removeprefix("mfserve-"): path for path in sorted((DEPLOY / "systemd").glob("*.service"))}
ENVIRONMENT = "/opt/mfserve/bin/"

# From systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5) of version
# 250, the first that has %d. A misspelt one would be passed over with a line in the log.
KNOWN = {
    "Unit": "Description Wants After StartLimitIntervalSec StartLimitBurst",
    "Service": """
        Type User Group ExecStart ExecReload LoadCredential Environment EnvironmentFile KillMode
        KillSignal TimeoutStopSec Restart RestartSec RestartPreventExitStatus LimitNOFILE Nice CPUWeight
        StateDirectory StateDirectoryMode WorkingDirectory UMask NoNewPrivileges ProtectSystem
        ProtectHome PrivateTmp PrivateDevices ProtectClock ProtectControlGroups ProtectHostname
        ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc
        CapabilityBoundingSet AmbientCapabilities LockPersonality RemoveIPC RestrictAddressFamilies
        RestrictNamespaces RestrictRealtime RestrictSUIDSGID SystemCallArchitectures
        SystemCallFilter SystemCallErrorNumber
    """,
    "Install": "WantedBy",
}
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
}

Unit = dict[str, dict[str, str]]


class _Unit(configparser.RawConfigParser):
    """As systemd reads one, but for directives that come twice, which are refused: none of ours is a list."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read(path: Path) -> Unit:
    """Sections with their directives."""
    unit = _Unit(delimiters="=", comment_prefixes="#", default_section="none")
    unit.read_string(path.read_text("utf-8"))
    return {section: dict(unit[section]) for section in unit.sections()}


@pytest.fixture(params=UNITS.values(), ids=list(UNITS))
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def unit(path: Path) -> Unit:
    return read(path)


def test_there_is_one_for_each_program() -> None:
    assert list(UNITS) == ["server", "trainer"]


def test_every_directive_is_known(unit: Unit) -> None:
    assert {section: sorted(set(names) - set(KNOWN[section].split())) for section, names in unit.items()} == {
        "Unit": [],
        "Service": [],
        "Install": [],
    }


@needs("systemd-analyze")
def test_systemd_has_nothing_to_say(path: Path, tmp_path: Path) -> None:
    # It looks whether the program is there, which it is on a machine with mfserve.
    copy = tmp_path / path.name
    copy.write_text(
        re.sub(
            rf"^ExecStart={ENVIRONMENT}\w+",
            f"ExecStart={sys.executable}",
            path.read_text(),
            flags=re.MULTILINE,
        )
    )
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rating = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", str(copy)]
    assert subprocess.run(rating, capture_output=True, check=False).returncode == 0, "rated worse than 2.0"


def test_what_it_starts_is_a_command_with_settings_that_there_are(unit: Unit) -> None:
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == f"{ENVIRONMENT}mfserve"
    help_command = [sys.executable, "-m", "mfserve", arguments[0], "--help"]
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    shown = subprocess.run(help_command, env=environment, capture_output=True, text=True, check=True)
    assert all(argument in shown.stdout for argument in arguments[1:])
    variables = dict(pair.split("=", 1) for pair in unit["Service"]["Environment"].split())
    settings = {name.removeprefix("MFSERVE_").lower() for name in variables}
    assert settings - {"config"} <= ALL_SETTINGS
    # The settings file is the credential that systemd copies, by the same name.
    name, _, source = unit["Service"]["LoadCredential"].partition(":")
    assert variables["MFSERVE_CONFIG"] == f"%d/{name}"
    assert source == f"/etc/mfserve/{name}"
    assert variables["MFSERVE_HOME"] == f"/var/lib/{unit['Service']['StateDirectory']}"


def test_it_may_do_little(unit: Unit) -> None:
    service = unit["Service"]
    assert {name: service[name] for name in HARDENED} == HARDENED
    assert service["User"] == service["Group"] == "mfserve"
    sysusers = (DEPLOY / "systemd" / "mfserve.sysusers").read_text("utf-8")
    assert re.search(r'^u mfserve - "\w+" /var/lib/mfserve ', sysusers, re.MULTILINE)


def test_an_end_has_the_time_that_it_takes() -> None:
    service = read(UNITS["server"])["Service"]
    settings = Settings()
    takes = settings.notice_seconds + settings.drain_seconds + SIGNING_OFF_SECONDS
    assert float(service["TimeoutStopSec"]) > takes
    # The parent drains; a signal to all would end its children under it.
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")


def test_settings_that_are_wrong_are_not_tried_again(unit: Unit) -> None:
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
