"""Whether the registry answers this process. The log has one line when it is lost and one when it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from mfserve_registry.errors import RegistryError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """A registry that does not answer.

    Attributes:
        since: when it was first noticed.
        message: why, in words for callers.
    """

    since: datetime
    message: str


class Contact:
    """What who asks the registry all the time (a server's watcher, a trainer) knows of it. Lives on the event loop.

    Args:
        regained: called when the registry answers again.

    Attributes:
        loss: None while it answers, and until it was first asked.
        read_at: when it last answered; None: never.
    """

    def __init__(self, regained: Callable[[], None] = lambda: None) -> None:
        self._regained = regained
        self.loss: Loss | None = None
        self.read_at: datetime | None = None

    def found(self) -> None:
        """It has answered."""
        self.read_at = datetime.now(UTC)
        if self.loss is not None:
            self.loss = None
            _log.info("the registry answers again")
            self._regained()

    def failed(self, error: RegistryError) -> None:
        """It did not."""
        if self.loss is None or self.loss.message != error.message:
            _log.warning("the registry does not answer", reason=error.reason, message=error.message)
        self.loss = Loss(datetime.now(UTC) if self.loss is None else self.loss.since, error.message)
