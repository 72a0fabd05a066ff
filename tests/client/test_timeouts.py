"""A timeout that is none is refused wherever one is taken, and one of centuries is as good as none."""

from __future__ import annotations

import inspect
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from mfserve import AsyncClient, Client
from mfserve._client.arguments import timed
from tests.client.conftest import Connect, Serve
from tests.client.services import METHODS

TIMED = sorted(
    name
    for name, method in inspect.getmembers(Client, inspect.isfunction)
    if not name.startswith("_") and "timeout" in inspect.signature(method).parameters
)
REQUIRED: dict[str, Any] = {
    "model": "movies",
    "dataset": "movielens-100k",
    "user_id": "1",
    "item_id": "1",
    "user_ids": ["1"],
    "pairs": [("1", "2")],
    "data": {"user_id": ["1"], "item_id": ["2"], "rating": [3.0]},
    "job_id": "job",
    "name": "curve.svg",
    "side": "user",
    "alias": "candidate",
    "version": 1,
    "other_version": 2,
    "expected_revision": 0,
    "time": datetime(2030, 1, 1, tzinfo=UTC),
}
ONE_OF = {("recommend", "user_id"), ("set_alias", "version")}
"""Arguments one of which is required."""


def required_by(name: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(Client, name)).parameters
    return {
        key: REQUIRED[key]
        for key, parameter in parameters.items()
        if key != "self" and (parameter.default is parameter.empty or (name, key) in ONE_OF)
    }


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (0, ValueError, "timeout must be above 0 seconds, not 0; math.inf sets no deadline"),
        (-1.5, ValueError, "timeout must be above 0 seconds, not -1.5"),
        (math.nan, ValueError, "timeout must be above 0 seconds, not nan"),
        ("5", TypeError, "timeout must be a number of seconds, not str '5'; math.inf sets no deadline"),
        (True, TypeError, "timeout must be a number of seconds, not bool True"),
        (timedelta(5), TypeError, "timeout must be a number of seconds, not timedelta"),
    ],
)
async def test_a_timeout_that_is_none(
    serve: Serve, connect: Connect, given: Any, error: type[Exception], told: str
) -> None:
    server = serve()
    client = connect(server.address)
    for name in TIMED:
        with pytest.raises(error, match=f"^{re.escape(told)}"):
            await getattr(client, name)(**required_by(name), timeout=given)
    for kind in (Client, AsyncClient):
        with pytest.raises(error, match=f"^{re.escape(told)}"):
            kind(server.address, timeout=given)
    assert server.calls == []


def test_every_call_takes_a_timeout() -> None:
    assert len(TIMED) == len(METHODS) + len({"ready", "wait_ready", "alias_at"})


def test_a_timeout_is_checked_in_whatever_order_it_is_given() -> None:
    @timed
    def ask(server: str, timeout: float | None) -> str:
        return f"{server} {timeout}"

    with pytest.raises(ValueError, match="timeout must be above 0"):
        ask("here", 0)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        ask("here", timeout=0)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        ask(timeout=0, server="here")
    assert (ask(timeout=None, server="here"), ask("here", 1)) == ("here None", "here 1")


def test_a_client_has_a_timeout() -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not None"):
        Client("127.0.0.1:1", timeout=None)  # type: ignore[arg-type] # that is the mistake


@pytest.mark.parametrize("longest", [1e20, math.inf])
async def test_the_longest_timeouts_have_not_passed_at_once(
    serve: Serve, connect: Connect, longest: float
) -> None:
    server = serve(GetModel=lambda request, context: GetMessageClass(METHODS["GetModel"].output_type)())
    await connect(server.address, timeout=longest).get_model("movies")
    assert server.calls == ["GetModel"]
