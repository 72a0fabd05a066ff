"""What calls come to that are answered several at a time: a reply, or an error in its place."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

from mfserve_registry.errors import RegistryError

Reply = bytes | Coroutine[Any, Any, bytes]
"""A response's bytes: at once, where the event loop need not wait for anything."""
Outcome = Reply | Exception

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def attempt(make: Callable[[*Ts], T], *arguments: *Ts) -> T | Exception:
    """What ``make`` gives, or the error in its place.

    An error that is the caller's is told without where it came from, and so need not hold on to what was there, such as
    a version.
    """
    try:
        return make(*arguments)
    except RegistryError as error:
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - its caller is told, by the handler
        return error
