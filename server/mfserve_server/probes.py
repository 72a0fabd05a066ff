"""Health by the gRPC health protocol on a port of its own, for probes.

In the parent, which has nothing else to do: it answers at once however many call, over plain text where the server
speaks TLS (Kubernetes' probes know no other), and says SERVING as long as any of the server processes does.

Whoever reaches the port may call, so no caller may hold anything up. There is Check and no Watch. It is answered on
the parent's loop, where a call that its caller has only begun, or whose answer it does not take, holds no thread; and
it ends with its connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from mfserve_registry.settings import StartError
from mfserve_server.addresses import reserve
from mfserve_server.statuses import SERVICE, Statuses

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # What all callers together may hold: the parent needs file descriptors to start processes.
    ("grpc.max_allowed_incoming_connections", 256),
    ("grpc.max_concurrent_streams", 100),
    # How long: probes connect anew each time, or again when they are told that a connection is to end.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_age_ms", 30_000),
    ("grpc.max_connection_age_grace_ms", 5_000),
)


@asynccontextmanager
async def answer_probes(statuses: Statuses, host: str, port: int) -> AsyncIterator[int]:
    """Tells what ``statuses`` say, on the port that this gives.

    Raises:
        StartError: the address cannot be listened on.
    """
    reserve(host, port).hold.close()  # says what is the matter, where gRPC writes a line of its own
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Check": statuses.check}),)
    )
    try:
        found = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError as error:
        raise StartError(f"Cannot answer health checks on {host}:{port}.") from error
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)
