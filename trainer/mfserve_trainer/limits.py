"""How much memory and time one fit may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from mfserve_trainer.memory import taken_by
from mfserve_trainer.settings import Settings

_LOOK_SECONDS = 0.05
"""Between two looks at a fit's memory."""


class LimitPassed(Exception):
    """A fit took more than one may.

    Attributes:
        reason: name of an ErrorReason without its prefix.
        message: says how much one may take, and what helps.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


async def keep_limits(settings: Settings, process: Callable[[], int | None]) -> NoReturn:
    """Watches over a fit that begins now; does not return.

    Args:
        settings: with the limits, if any.
        process: the id of the process that fits, None while there is none.

    Raises:
        LimitPassed: it took too much.
    """
    try:
        async with asyncio.timeout(settings.max_fit_seconds):
            if settings.max_fit_bytes is None:
                await asyncio.Event().wait()  # for ever
            else:
                await _until_larger(settings.max_fit_bytes, process)
    except TimeoutError:
        raise LimitPassed(
            f"The training took longer than the {settings.max_fit_seconds:g} seconds that this trainer has for one "
            "(max_fit_seconds). Train fewer epochs or factors, or on fewer ratings.",
            reason="FIT_TOO_LONG",
        ) from None
    raise LimitPassed(
        f"The training took more memory than the {settings.max_fit_bytes} bytes that this trainer has for one "
        "(max_fit_bytes). Train fewer factors, or on fewer ratings, or let it take more.",
        reason="FIT_TOO_LARGE",
    )


async def _until_larger(most: int, process: Callable[[], int | None]) -> None:
    while (pid := process()) is None or taken_by(pid) <= most:  # noqa: ASYNC110 - nothing tells of another process's memory
        await asyncio.sleep(_LOOK_SECONDS)
