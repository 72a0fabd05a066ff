"""What is wrong with settings, in words: every fault, where it is, and what was probably meant."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic_core import ErrorDetails

PREFIX = "MFSERVE_"

ALL_SETTINGS = frozenset(
    {
        "cache_bytes",
        "cache_dir",
        "callers",
        "data_roots",
        "database_url",
        "drain_seconds",
        "grace",
        "health_host",
        "health_port",
        "home",
        "host",
        "job_poll_seconds",
        "keep_last",
        "keep_uploads",
        "lease_seconds",
        "log_calls",
        "log_format",
        "log_level",
        "max_concurrent_calls",
        "max_concurrent_streams",
        "max_delay_seconds",
        "max_fit_bytes",
        "max_fit_seconds",
        "max_loaded_bytes",
        "max_loaded_versions",
        "max_queued_calls",
        "max_request_bytes",
        "max_shared_calls",
        "max_streams_per_caller",
        "max_upload_bytes",
        "metrics_host",
        "metrics_port",
        "named_within",
        "notice_seconds",
        "otlp_endpoint",
        "plaintext",
        "poll_seconds",
        "port",
        "reflection",
        "reply_cache_bytes",
        "store_url",
        "stream_idle_seconds",
        "tls_certificate",
        "tls_client_roots",
        "tls_key",
        "trainer",
        "workers",
    }
)
"""Of servers, of trainers and of `mfserve gc`: all are in one environment where they run side by side."""
_NO_SETTINGS = (
    "ACTOR",
    "ADDRESS",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "CONFIG",
    "TLS",
    "TLS_ROOTS",
    "TOKEN",
    "TOKEN_FILE",
)
"""Variables of clients and of the command line."""
_MEANT_TYPES = {"path_type": "it is a path, in quotes"}
"""What is to be there, where pydantic speaks of classes."""
_OF_KUBERNETES = ("SERVICE_", "PORT_")
"""What the variables begin with that Kubernetes makes for a service named mfserve; see ``is_link`` for one more."""


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
    known = [*_NO_SETTINGS, *(name.upper() for name in sorted(ALL_SETTINGS))]
    ours = (name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX))
    return {
        f"{PREFIX}{name}": f"{PREFIX}{name} is no setting, and is ignored{_meant(name, known, PREFIX)}"
        for name in sorted(ours)
        if name not in known and not name.startswith(_OF_KUBERNETES)
    }


def is_link(name: str, value: str | None) -> bool:
    """Whether it is the address that Kubernetes tells of a service named mfserve, under the name of our port."""
    return name.upper() == f"{PREFIX}PORT" and (value or "").startswith(("tcp://", "udp://"))


def _fault(
    error: ErrorDetails, settings: Collection[str], flags: Collection[str], config: Path | None
) -> str:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":  # only a file can name what there is not
        return f"{name} in {config} is no setting{_meant(name, settings)}"
    if name in flags:
        where = f"--{name.replace('_', '-')}"
    elif variable := _variable(name):
        where = variable
    else:
        where = f"{name} in {config}"
    said = _MEANT_TYPES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{where} is wrong: {said}"


def _meant(name: str, known: Collection[str], prefix: str = "") -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {prefix}{near[0]}?)" if near else ""


def _variable(setting: str) -> str | None:
    """As it is spelt in the environment, in which upper and lower case are one; the last of several counts."""
    spelt = {
        variable.upper(): variable for variable, value in os.environ.items() if not is_link(variable, value)
    }
    return spelt.get(f"{PREFIX}{setting.upper()}")
