"""A line of the log for a share of the calls."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import Registry
from tests.server.calls import DEADLINE
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until

REQUEST = pb.RecommendRequest(model_spec=ModelSpec(model="movies"), user_id="u1")


async def test_it_has_what_helps_to_find_a_call_and_no_persons_id(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry)
    server = await serve(log_calls=1.0)
    with capture_logs() as logs:
        named = (("x-request-id", "front-42"),)
        await server.recommendations.Recommend(REQUEST, timeout=DEADLINE, metadata=named)
        strange = (("x-request-id", "a b" * 60),)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.models.GetModel(
                models_pb.GetModelRequest(model="no"), timeout=DEADLINE, metadata=strange
            )
        stream = server.recommendations.StreamRecommend(timeout=DEADLINE)
        await stream.done_writing()
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.read()
        await until(lambda: len(lines(logs)) == 3)
    asked, missed, streamed = lines(logs)
    assert asked == {
        "log_level": "info",
        "event": "call",
        "method": "RecommendationService/Recommend",
        "code": "OK",
        "seconds": asked["seconds"],
        "request_id": "front-42",
        "model": "movies",
        "version": 1,
    }
    assert 0 < asked["seconds"] < DEADLINE
    assert (missed["method"], missed["code"]) == ("ModelService/GetModel", "NOT_FOUND")
    assert missed["reason"] == "MODEL_NOT_FOUND"
    assert len(missed["request_id"]) == 32  # ours
    assert (streamed["method"], streamed["code"]) == (
        "RecommendationService/StreamRecommend",
        "INVALID_ARGUMENT",
    )
    assert "u1" not in str(lines(logs))


async def test_of_whom_nobody_knows_it_has_where_from(
    serve: MakeServer, registry: Registry, tmp_path: Path
) -> None:
    publish(registry)
    callers = tmp_path / "callers.toml"
    callers.write_text(
        f'[[callers]]\nname = "shop"\ntoken_sha256 = "{hashlib.sha256(b"known").hexdigest()}"\nscopes = []\n'
    )
    server = await serve(log_calls=1.0, callers=callers)
    with capture_logs() as logs:
        for token in ("guessed", "known"):
            with pytest.raises(grpc.aio.AioRpcError):
                await server.recommendations.Recommend(
                    REQUEST, timeout=DEADLINE, metadata=(("authorization", f"Bearer {token}"),)
                )
        await until(lambda: len(lines(logs)) == 2)
    stranger, shop = lines(logs)
    assert (stranger["code"], stranger["peer"].rpartition(":")[0]) == ("UNAUTHENTICATED", "ipv4:127.0.0.1")
    assert "guessed" not in str(logs)
    assert (shop["code"], shop["reason"], shop["caller"]) == ("PERMISSION_DENIED", "SCOPE_MISSING", "shop")
    assert "peer" not in shop


async def test_a_share_is_drawn_by_chance(
    serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry)
    server = await serve(log_calls=0.25)
    draws = iter([0.3, 0.2, 0.9, 0.0, 0.25])
    monkeypatch.setattr("mfserve_server.request_log.random.random", lambda: next(draws))
    with capture_logs() as logs:
        for _ in range(5):
            await server.recommendations.Recommend(REQUEST, timeout=DEADLINE)
    assert len(lines(logs)) == 2


def lines(logs: list[Any]) -> list[dict[str, Any]]:
    return [entry for entry in logs if entry["event"] == "call"]
