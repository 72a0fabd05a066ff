"""Lets several commands take the same options, which are written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any


def taking(shared: Callable[..., dict[str, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command, which ends in ``**arguments``, the parameters of ``shared`` besides its own.

    typer reads parameters from a function's signature. The command is called with its own ones and with what ``shared``
    makes of the others.
    """
    theirs = inspect.signature(shared, eval_str=True).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()

        @wraps(command)
        def run(**given: Any) -> None:
            arguments = shared(**{name: given.pop(name) for name in theirs})
            command(**given, **arguments)

        named = [one for one in own if one.kind is not inspect.Parameter.VAR_KEYWORD]
        run.__signature__ = inspect.Signature([*theirs.values(), *named])  # type: ignore[attr-defined]  # see inspect.signature
        return run

    return decorate
