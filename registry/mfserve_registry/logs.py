"""Logs: one event a line on stderr, with its facts as fields."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from mfserve_registry.settings import ProcessSettings


class _Undisturbed:
    """Standard error, whose reader may go: what a process has to do at its end matters more than telling of it."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def logs_to_stderr() -> None:
    """Keeps what is logged off standard output, where structlog writes by itself and results belong."""
    # In one write, line end and all: other processes write to the same terminal or file.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Undisturbed())))


def configure_logs(settings: ProcessSettings, **facts: Any) -> None:
    """Sets up structlog for this process; ``facts`` are on every line."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    # The console's renderer prints tracebacks by itself.
    errors: list[Any] = [] if console else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log_level.upper()]
        ),
        cache_logger_on_first_use=True,
    )
    logs_to_stderr()
    structlog.contextvars.bind_contextvars(**facts)
