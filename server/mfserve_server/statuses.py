"""What the gRPC health protocol tells of the server ("") and of its services.

The whole server and RecommendationService are SERVING where a version is loaded. TrainingService and ModelService need
none and are SERVING at once: otherwise the first training could never be asked for through a load balancer.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from mfserve.v1 import model_service_pb2, recommendation_service_pb2, training_service_pb2

SERVICE = "grpc.health.v1.Health"
SERVER = ""
RECOMMENDATION = recommendation_service_pb2.DESCRIPTOR.services_by_name["RecommendationService"].full_name
TRAINING = training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"].full_name
MODEL = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


class Statuses:
    """NOT_SERVING until told otherwise.

    Asking and telling touch nothing but a dictionary, so that neither can wait for a caller who does not read. (The
    servicers of grpcio-health-checking write to their watchers under the lock that a change needs.)
    """

    def __init__(self) -> None:
        self.tell(up=False, serving=False)

    def tell(self, *, up: bool, serving: bool) -> None:
        """What holds now.

        Args:
            up: whether the server runs.
            serving: whether it has a version to answer from.
        """
        self._serving = {SERVER: serving, RECOMMENDATION: serving, TRAINING: up, MODEL: up}

    def of(self, service: str) -> HealthCheckResponse:
        """SERVICE_UNKNOWN where there is none of this name."""
        if service not in self._serving:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        serving = self._serving[service]
        return HealthCheckResponse(
            status=HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        )

    @property
    def check(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The method Check."""
        return grpc.unary_unary_rpc_method_handler(
            self._check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        )

    async def _check(
        self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> HealthCheckResponse:
        response = self.of(request.service)
        if response.status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "This server has no such service.")
        return response
