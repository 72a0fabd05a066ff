"""A process whose children are quickly made: it has imported all that they need, and forks.

A line of input, ``[number, point, nth, part]``, makes a publisher. It is killed when it comes to the point for the nth
time, or after that part of the time that the last one took which lived; a line of output tells its version, or null
where it did not live to tell. Readers and a collection run until the input ends: then each has its line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import structlog

from mfserve_registry import Registry
from tests.places import Place
from tests.registry.crashes import roles
from tests.registry.crashes.points import Fuse

READERS = 4
BEGUN = b"\n"
"""What a child tells when its registry is open."""


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    place, readers_home = json.loads(sys.argv[1]), Path(sys.argv[2])
    here = Place(Path(place.pop("home")), **place)
    there = here if here.store_url is None else here.seen_from(readers_home)
    end, over = os.pipe()
    # Without room for copies a reader fetches each version anew.
    watching = [_child(there, partial(roles.read, number, end), cache_bytes=0) for number in range(READERS)]
    watching.append(_child(here, partial(roles.collect, end)))
    usual = 0.0
    for line in sys.stdin:
        number, point, nth, part = json.loads(line)
        pid, told = _child(here, partial(roles.publish, number, Fuse(point, nth)))
        os.read(told, len(BEGUN))
        began = time.monotonic()
        if part is not None and not select.select([told], [], [], part * usual)[0]:
            os.kill(pid, signal.SIGKILL)
        version = _outcome(pid, told)
        if not point:
            usual = time.monotonic() - began
        _tell(version)
    os.write(over, b"!")
    for pid, told in watching:
        _tell(_outcome(pid, told))


def _child(place: Place, run: Callable[[Registry], Any], **options: Any) -> tuple[int, int]:
    """Runs on the registry, opened with the options; its process id, and where it tells its result."""
    told, tell = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(told)
        _run(partial(place.open, **options), run, tell)
    os.close(tell)
    return pid, told


def _run(opened: Callable[[], Registry], run: Callable[[Registry], Any], tell: int) -> NoReturn:
    """What a child does, to its end."""
    try:
        with opened() as registry:
            os.write(tell, BEGUN)
            os.write(tell, json.dumps(run(registry)).encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001 - told as it is, and never by two processes
        traceback.print_exc()
        os._exit(1)


def _outcome(pid: int, told: int) -> Any:
    """What a child tells; None where it was killed before."""
    with os.fdopen(told, "rb") as file:
        text = file.read().removeprefix(BEGUN)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a child ended with {status}")
    return json.loads(text) if text else None


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
