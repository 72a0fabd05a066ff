"""What the files in ``deploy/`` share: settings that must be right, and the time that an end takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mfserve_registry.setting_faults import PREFIX
from mfserve_registry.settings import ProcessSettings
from tests.packaging.dockerfile import Stage, read_stages
from tests.packaging.imports import ROOT

DEPLOY = ROOT / "deploy"
STAGES = read_stages(ROOT / "Dockerfile")
SIGNING_OFF_SECONDS = 5.0
"""What a server takes beyond the time that calls get, at most (mfserve_server.supervisor)."""

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


def settings_of(model: type[SettingsT], environment: Mapping[str, str]) -> SettingsT:
    """What a process makes of these variables; ValidationError: a name or a value is wrong.

    Args:
        model: whose settings they are.
        environment: variables that are not ours may be among them.
    """
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    return model.model_validate({name.removeprefix(PREFIX).lower(): value for name, value in ours.items()})


def image_environment(stage: str) -> dict[str, str]:
    """The variables that an image sets, those of the stages beneath it included."""
    found: dict[str, str] = {}
    name: str | None = stage
    while name in STAGES:
        found = _variables(STAGES[name]) | found
        name = STAGES[name].base
    return found


def _variables(stage: Stage) -> dict[str, str]:
    pairs = " ".join(stage.values("ENV")).split()
    return dict(pair.split("=", 1) for pair in pairs)


def ignored_by_git(path: str) -> bool:
    """Whether .gitignore has this very path."""
    return path in (Path(ROOT) / ".gitignore").read_text("utf-8").splitlines()
