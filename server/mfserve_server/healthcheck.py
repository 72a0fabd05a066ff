"""``python -m mfserve_server.healthcheck``: exit code 0 if the server says SERVING, for containers."""

from __future__ import annotations

import argparse
import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 3.0


def check(address: str, service: str = "", timeout: float = TIMEOUT_SECONDS) -> str:
    """The status that the server at ``address`` gives for ``service``, or why there is none."""
    # A container's proxy settings are for its way out, not for its own server.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout
            )
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    port = os.environ.get("MFSERVE_HEALTH_PORT") or os.environ.get("MFSERVE_PORT", "50051")
    default = f"127.0.0.1:{port}"
    parser.add_argument("--address", default=default, help=f"host:port of the server (default {default})")
    parser.add_argument("--service", default="", help="name of a service; by default the whole server")
    arguments = parser.parse_args()
    status = check(arguments.address, arguments.service)
    print(status)  # noqa: T201 - what a container's log shows
    return 0 if status == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())
