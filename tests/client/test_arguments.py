"""An argument that no request can carry is named, with its place; it never reaches a server."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from mfserve import Als, Client, Index, Tuning
from mfserve.v1 import recommendation_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import VERSION, recommend_to_all
from tests.client.twins import listed

Ask = Callable[[Any], Awaitable[Any]]
SURROGATE = "a\udc80"
"""What os.fsdecode makes of a byte that is no UTF-8."""


def recommend(**arguments: Any) -> Ask:
    return lambda client: client.recommend("movies", **({"user_id": "1"} | arguments))


def of_history(history: Any) -> Ask:
    return recommend(user_id=None, history=history)


def pairs(given: Any) -> Ask:
    return lambda client: client.batch_predict_ratings("movies", given)


def stream(user_ids: Any = (), **arguments: Any) -> Ask:
    return lambda client: listed(client.stream_recommend("movies", user_ids, **arguments))


def train(**arguments: Any) -> Ask:
    return lambda client: client.train("movies", **({"dataset": "movielens-100k"} | arguments))


def set_alias(**arguments: Any) -> Ask:
    given = {"model": "movies", "alias": "production", "expected_revision": 1} | arguments
    return lambda client: client.set_alias(**given)


WRONG_TYPES: dict[str, tuple[Ask, str]] = {
    "model": (lambda client: client.recommend(3, "1"), "model must be a str, not int 3: give '3'"),
    "no model": (lambda client: client.get_model(None), "model must be a str, not None"),
    "user_id": (recommend(user_id=196), "user_id must be a str, not int 196: give '196'"),
    "bytes": (recommend(user_id=b"196"), "user_id must be a str, not bytes b'196'"),
    "user to predict for": (
        lambda client: client.predict_rating("movies", 196, "242"),
        "user_id must be a str, not int 196: give '196'",
    ),
    "item to predict for": (
        lambda client: client.predict_rating("movies", "196", 242),
        "item_id must be a str, not int 242: give '242'",
    ),
    "item": (
        lambda client: client.similar_items("movies", 242),
        "item_id must be a str, not int 242: give '242'",
    ),
    "alias": (recommend(alias=1), "alias must be a str, not int 1: give '1'"),
    "version": (recommend(version="1"), "version must be an int, not str '1'"),
    "version as a float": (recommend(version=1.0), "version must be an int, not float 1.0"),
    "alias as a version": (
        lambda client: client.get_version("movies", "latest"),
        "version must be an int, not str 'latest'",
    ),
    "limit": (recommend(limit="10"), "limit must be an int, not str '10'"),
    "limit as a bool": (recommend(limit=True), "limit must be an int, not bool True"),
    "limit of a stream": (stream(limit=1.5), "limit must be an int, not float 1.5"),
    "exact": (recommend(exact="yes"), "exact must be True or False, not str 'yes'"),
    "a list for a bool": (recommend(include_seen=[1]), "include_seen must be True or False, not list [1]"),
    "exclude_item_ids": (
        recommend(exclude_item_ids=["a", "b", "c", 50]),
        "exclude_item_ids[3] must be a str, not int 50: give '50'",
    ),
    "exclude_item_ids of a generator": (
        lambda client: client.recommend("movies", "1", exclude_item_ids=iter([np.int64(7)])),
        "exclude_item_ids[0] must be a str, not int64 np.int64(7): give '7'",
    ),
    "one id for several": (
        stream(exclude_item_ids="242"),
        "exclude_item_ids takes several entries: put the one in a list",
    ),
    "a number for several": (
        recommend(exclude_item_ids=242),
        "exclude_item_ids must be a list or another iterable, not int 242",
    ),
    "key of a history": (
        of_history({"50": 5.0, 51: 4.0}),
        "history[1]: item_id must be a str, not int 51: give '51'",
    ),
    "rating of a history": (
        of_history([("50", 5.0), ("51", "good")]),
        "history[1]: rating must be a number, not str 'good'",
    ),
    "entry of a history": (of_history(["50", 51]), "history[1]: expected (item_id, rating), not int 51"),
    "half an entry": (of_history([("50",)]), "history[0]: expected (item_id, rating), not tuple ('50',)"),
    "history": (of_history(50), "history must be a list or another iterable, not int 50"),
    "one item for a history": (of_history("50"), "history takes several entries: put the one in a list"),
    "pairs": (
        pairs([("196", "242"), ("196", 302)]),
        "pairs[1]: item_id must be a str, not int 302: give '302'",
    ),
    "a text for a pair": (pairs(["ab"]), "pairs[0]: expected (user_id, item_id), not str 'ab'"),
    "three for a pair": (
        pairs([("a", "b", "c")]),
        "pairs[0]: expected (user_id, item_id), not tuple ('a', 'b', 'c')",
    ),
    "user_ids": (stream(196), "user_ids must be a list or another iterable, not int 196"),
    "batch_size": (stream(batch_size="512"), "batch_size must be an int, not str '512'"),
    "page_size": (
        lambda client: listed(client.list_models(page_size="5")),
        "page_size must be an int, not str '5'",
    ),
    "job": (lambda client: client.get_job(3), "job_id must be a str, not int 3: give '3'"),
    "seed": (train(seed="x"), "seed must be an int, not str 'x'"),
    "factors": (train(rating=Als(factors="x")), "rating: factors must be an int, not str 'x'"),  # type: ignore[arg-type]
    "recall": (train(index=Index(recall="x")), "index: recall must be a number, not str 'x'"),  # type: ignore[arg-type]
    "scale": (train(scale=(1, "5")), "scale: maximum must be a number, not str '5'"),
}

WRONG_TYPES |= {
    "alias": (set_alias(alias=None, version=1), "alias must be a str, not None"),
    "version": (set_alias(version="3"), "version must be an int, not str '3'"),
    "neither": (set_alias(), "give either a version or targets"),
    "both": (set_alias(version=1, targets={1: 1}), "give either a version or targets"),
    "targets": (
        set_alias(targets=[(3, 90)]),
        "targets must be a mapping of versions to weights, such as {3: 90}, not list [(3, 90)]",
    ),
    "a weight": (set_alias(targets={3: 1, 4: "9"}), "targets[1]: weight must be an int, not str '9'"),
    "shadow": (
        set_alias(version=1, shadow=5),
        "shadow must be a version and a share, such as (5, 0.1), not int 5",
    ),
    "a share": (set_alias(version=1, shadow=(5, "all")), "shadow: share must be a number, not str 'all'"),
    "expected_revision": (
        lambda client: client.rollback_alias("movies", "x", expected_revision="1"),
        "expected_revision must be an int, not str '1'",
    ),
    "reason": (
        lambda client: client.delete_alias("movies", "x", expected_revision=1, reason=None),
        "reason must be a str, not None",
    ),
    "until": (
        lambda client: listed(client.list_alias_events("movies", "x", until="noon")),
        "until must be a datetime, not str 'noon'",
    ),
    "time": (lambda client: client.alias_at("movies", "x", 5), "time must be a datetime, not int 5"),
    "a version to delete": (
        lambda client: client.delete_version("movies", "3"),
        "version must be an int, not str '3'",
    ),
    "a model to delete": (lambda client: client.delete_model(3), "model must be a str, not int 3: give '3'"),
}

WRONG_VALUES: dict[str, tuple[Ask, str]] = {
    "limit": (recommend(limit=2**40), "limit is out of range: 1099511627776"),
    "limit of numpy's": (recommend(limit=np.int64(2**40)), "limit is out of range: 1099511627776"),
    "ranking_head": (
        recommend(ranking_head="best"),
        "ranking_head must be one of 'ranking', 'rating', not str 'best'",
    ),
    "ranking_head of a wrong type": (
        stream(ranking_head=3),
        "ranking_head must be one of 'ranking', 'rating', not int 3",
    ),
    "tuned head": (
        train(tuning=Tuning(head="best")),  # type: ignore[arg-type]
        "tuning: head must be one of 'ranking', 'rating', not str 'best'",
    ),
    "state": (
        lambda client: listed(client.list_jobs(states=["running", "asleep"])),
        "states[1] must be one of 'pending', 'running', 'succeeded', 'failed', 'cancelled', not str 'asleep'",
    ),
    "batch_size of 0": (stream(batch_size=0), "batch_size must be 1 to 4096, not 0"),
    "batch_size": (stream(batch_size=4097), "batch_size must be 1 to 4096, not 4097"),
    "user_id": (
        recommend(user_id=SURROGATE),
        r"user_id must be text in UTF-8, not 'a\udc80': its character 1 is a lone surrogate",
    ),
    "exclude_item_ids": (
        recommend(exclude_item_ids=["b", SURROGATE]),
        r"exclude_item_ids[1] must be text in UTF-8, not 'a\udc80': its character 1 is a lone surrogate",
    ),
    "history": (
        of_history(["b", SURROGATE]),
        r"history[1]: item_id must be text in UTF-8, not 'a\udc80': its character 1 is a lone surrogate",
    ),
    "pairs": (
        pairs([("b", "c"), (SURROGATE, "c")]),
        r"pairs[1]: user_id must be text in UTF-8, not 'a\udc80': its character 1 is a lone surrogate",
    ),
}


@pytest.mark.parametrize("case", WRONG_TYPES)
async def test_a_wrong_type(serve: Serve, connect: Connect, case: str) -> None:
    ask, told = WRONG_TYPES[case]
    server = serve()
    with pytest.raises(TypeError, match=f"^{re.escape(told)}$"):
        await ask(connect(server.address))
    assert server.calls == []


@pytest.mark.parametrize("case", WRONG_VALUES)
async def test_a_wrong_value(serve: Serve, connect: Connect, case: str) -> None:
    ask, told = WRONG_VALUES[case]
    server = serve()
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        await ask(connect(server.address))


async def test_the_place_of_a_text_that_cannot_be_sent_is_the_callers(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    users = (SURROGATE if n == 30 else str(n) for n in range(50))
    with pytest.raises(ValueError, match=r"^user_ids\[30\] must be text in UTF-8"):
        await listed(client.stream_recommend("movies", users, batch_size=7))


async def test_the_place_of_a_pair_counts_over_all_calls(serve: Serve, connect: Connect) -> None:
    def predict(request: pb.BatchPredictRatingsRequest, context: Any) -> Any:
        return pb.BatchPredictRatingsResponse(
            ratings=[1.0] * len(request.pairs),
            bases=[pb.RATING_BASIS_MODEL] * len(request.pairs),
            served_version=VERSION,
        )

    client = connect(serve(BatchPredictRatings=predict).address)
    with pytest.raises(TypeError, match=r"^pairs\[10002\]: user_id"):
        await client.batch_predict_ratings("movies", [*[("a", "b")] * 10_002, (1, "b")])


async def test_a_failure_of_the_callers_iterator_is_the_callers(serve: Serve, connect: Connect) -> None:
    def wrong() -> Any:
        yield "1"
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of the iterator")

    client = connect(serve().address)
    for ask in (recommend(exclude_item_ids=wrong()), of_history(wrong())):
        with pytest.raises(UnicodeDecodeError, match="of the iterator"):
            await ask(client)


def test_what_numpy_and_pandas_hold_is_taken(serve: Serve) -> None:
    seen: list[pb.RecommendRequest] = []

    def keep(request: pb.RecommendRequest, context: Any) -> Any:
        seen.append(request)
        return pb.RecommendResponse()

    excluded = np.array(["1", "2"])
    limit: Any = np.int64(5)
    seconds: Any = np.float32(20)
    with Client(serve(Recommend=keep).address, timeout=seconds) as client:
        client.recommend("movies", np.str_("1"), limit=limit, exclude_item_ids=excluded, timeout=10 * seconds)
        client.recommend("movies", history=np.array([["3", 4.0]], dtype=object))
    assert (seen[0].limit, list(seen[0].exclude_item_ids)) == (5, ["1", "2"])
    assert seen[1].history.ratings[0] == pb.RatedItem(item_id="3", rating=4.0)
