"""Callers who ask again and again while something else happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mfserve import Client


@contextmanager
def asked_in_a_loop(
    address: str, model: str = "movies", user: str = "196"
) -> Iterator[list[Exception | int]]:
    """Calls Recommend up to a hundred times a second; yields what every call gave: its version, or its error.

    What happens beside it lasts for seconds, and needs the processor.
    """
    outcomes: list[Exception | int] = []
    done = threading.Event()

    def ask() -> None:
        with Client(address) as client:
            while not done.wait(0.01):
                try:
                    outcomes.append(client.recommend(model, user).served_version.version)
                except Exception as error:  # noqa: BLE001 - any error is a failed call
                    outcomes.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield outcomes
    finally:
        done.set()
        asking.join()
