"""One server process: ``python -m mfserve_server.worker``, started by the supervisor and by nobody else.

Its standard input is a socket to the parent, from which comes one line with its orders, and then nothing until the
parent is gone, when it ends by itself. By the same socket it says when it answers: any library may print something, on
standard output, and none knows of this.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from socket import socket

import structlog
import uvloop

from mfserve_registry.errors import RegistryError
from mfserve_registry.logs import configure_logs
from mfserve_registry.traces import open_traces
from mfserve_server.lifeline import Tell, lifeline
from mfserve_server.metrics.page import Page, new_page
from mfserve_server.opening import open_registry
from mfserve_server.orders import Orders
from mfserve_server.security.access import BadAccessFile
from mfserve_server.security.certificates import BadCertificate
from mfserve_server.service import Service

_log = structlog.get_logger(__name__)


async def run(orders: Orders, parent: socket) -> int:
    """Serves until SIGTERM, or until the parent is gone. Returns the exit code."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with lifeline(parent, alone=stopping.set) as tell:
        return await _serve(orders, stopping, tell)


async def _serve(orders: Orders, stopping: asyncio.Event, tell: Tell) -> int:
    try:
        registry = open_registry(orders.settings, migrate=False, check_later=True)
    except RegistryError as error:
        _log.error("cannot open the registry", reason=error.reason, message=error.message)
        return 1
    with registry:
        page = Page(new_page(orders.folder.pages))
        traces = open_traces(orders.settings, "mfserve-server")
        try:
            service = Service(
                orders.settings,
                registry,
                worker=orders.worker,
                folder=orders.folder,
                page=page,
                traces=traces,
            )
            port = await service.start()
        except (OSError, BadAccessFile, BadCertificate) as error:
            _log.error("cannot serve", message=str(error))
            return 1
        _spare_collections()
        # The parent waits for it, and takes us out of the registry should we die.
        tell(port=port, server_id=service.server_id, serving=service.answers.is_set())
        telling = asyncio.create_task(_tell_when(service.answers, tell))
        await stopping.wait()
        telling.cancel()
        _log.info("drains")
        await service.stop()
        if traces is not None:
            traces.close()
    return 0


async def _tell_when(answers: asyncio.Event, tell: Tell) -> None:
    await answers.wait()
    tell(serving=True)


def _spare_collections() -> None:
    """Takes what is there for good out of the garbage collector's sight: modules, the API's classes, the versions.

    They are hundreds of thousands of objects, through which every full collection would walk while all calls wait.
    A version that is dropped later is freed all the same, by its reference count.
    """
    gc.collect()
    gc.freeze()


def main() -> int:
    # The parent gets the terminal's Ctrl-C and decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = sys.stdin.readline()
    if not line:
        return 0  # the parent gave up before it had orders
    orders = Orders.model_validate_json(line)
    configure_logs(orders.settings, process=f"worker {orders.worker}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(orders, socket(fileno=sys.stdin.fileno())))


if __name__ == "__main__":
    sys.exit(main())
