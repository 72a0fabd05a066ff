"""Three kinds of caller need nothing but the protos: the SDK, a bare generated stub, and reflection."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mfserve import Client
from mfserve.v1 import recommendation_service_pb2 as messages
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from tests.integration.conftest import MovieLens


def expected(movielens: MovieLens) -> list[str]:
    return movielens.oracle().recommend("196", 10)


def test_sdk(client: Client, movielens: MovieLens) -> None:
    assert [item.item_id for item in client.recommend("movies", "196")] == expected(movielens)


def test_bare_stub(movielens: MovieLens) -> None:
    with grpc.insecure_channel(movielens.service.address) as channel:
        stub = RecommendationServiceStub(channel)
        request = messages.RecommendRequest(model_spec=ModelSpec(model="movies"), user_id="196")
        response = stub.Recommend(request, timeout=10)
    assert [item.item_id for item in response.recommendations] == expected(movielens)


def test_reflection(movielens: MovieLens) -> None:
    with grpc.insecure_channel(movielens.service.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "mfserve.v1.RecommendationService" in database.get_services()
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName("mfserve.v1.RecommendationService").FindMethodByName("Recommend")
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/mfserve.v1.RecommendationService/Recommend",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        response: Any = call(request_class(model_spec={"model": "movies"}, user_id="196"), timeout=10)
    assert [item.item_id for item in response.recommendations] == expected(movielens)
