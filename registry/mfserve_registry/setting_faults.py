"""What is wrong with settings, in words: every fault, where it is, and what was probably meant."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from pydantic_core import ErrorDetails

PREFIX = "MFSERVE_"

# By name, as the registry imports neither. All are in one environment where server and trainer run side by side.
_PROCESSES = ("mfserve_server.settings", "mfserve_trainer.settings")
_NO_SETTINGS = ("ACTOR", "ADDRESS", "CONFIG")
"""Variables of the command line."""
_OF_OTHERS = ("TESTS_", "SERVICE_", "PORT_")
"""What variables of others begin with: the tests', and those that Kubernetes makes for a service named mfserve."""


def faults(
    errors: Sequence[ErrorDetails], settings: Collection[str], flags: Collection[str], config: Path | None
) -> str:
    """One line that names them all.

    Args:
        errors: as pydantic tells them.
        settings: the names that there are.
        flags: the names of those that were given on the command line.
        config: the file that was read, if any.
    """
    told = (_fault(error, settings, flags, config) for error in errors)
    return "; ".join(dict.fromkeys(told)) + "."  # once, also where several entries of a list are wrong


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings and are none of any process, each with a line that says so."""
    known = [*_NO_SETTINGS, *(name.upper() for module in _PROCESSES for name in _fields(module))]
    ours = (name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX))
    return {
        f"{PREFIX}{name}": f"{PREFIX}{name} is no setting, and is ignored{_meant(name, known, PREFIX)}"
        for name in sorted(ours)
        if name not in known and not name.startswith(_OF_OTHERS)
    }


def _fault(
    error: ErrorDetails, settings: Collection[str], flags: Collection[str], config: Path | None
) -> str:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":  # only a file can name what there is not
        return f"{name} in {config} is no setting{_meant(name, settings)}"
    if name in flags:
        where = f"--{name.replace('_', '-')}"
    elif f"{PREFIX}{name.upper()}" in os.environ:
        where = f"{PREFIX}{name.upper()}"
    else:
        where = f"{name} in {config}"
    return f"{where} is wrong: {error['msg'].removeprefix('Value error, ')}"


def _meant(name: str, known: Collection[str], prefix: str = "") -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {prefix}{near[0]}?)" if near else ""


def _fields(module: str) -> Collection[str]:
    names: Collection[str] = import_module(module).Settings.model_fields
    return names
