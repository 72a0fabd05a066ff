"""Keeps a defect in drawing from costing a good training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

Made = TypeVar("Made")
Otherwise = TypeVar("Otherwise")

_log = structlog.get_logger(__name__)


def guarded(what: str, make: Callable[[], Made], otherwise: Otherwise) -> Made | Otherwise:
    """What ``make`` gives; ``otherwise`` where it fails, with the reason in the trainer's log."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - hours of training are worth more than their pictures
        _log.exception("a part of the report is missing", part=what)
        return otherwise
