"""A version carried to another registry gives the answers that it gave in its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest
from google.protobuf.message import Message

from mfserve import Client
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry
from tests.integration.service import RunningService, running_service
from tests.registry.snapshot.samples import random_content, with_posterior
from tests.server.samples import FACTS, PICTURE, publish

USERS, ITEMS = 25, 60


def mfserve(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "mfserve", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, RunningService]]:
    """One whose version 2 is in production, and one that got it as version 1 from a file when it ran already."""
    folder = tmp_path_factory.mktemp("archive")
    home, other = folder / "home", folder / "other"
    with Registry.open(home) as registry:
        publish(registry, seed=1)
        content = with_posterior(random_content(2, users=USERS, items=ITEMS, factors=5))
        publish(registry, content=replace(content, facts=FACTS), promote_to="production")
    with running_service(home, "--no-trainer") as there, running_service(other, "--no-trainer") as here:
        mfserve("export", "movies", "production", "--home", str(home), "--output", str(folder / "file"))
        mfserve("import", str(folder / "file"), "--home", str(other))
        yield there, here


def answers(service: RunningService) -> list[bytes]:
    """To everything that can be asked, as the bytes of the replies without the number of the version."""
    spec = common_pb2.ModelSpec(model="movies")
    history = pb.History(
        ratings=[pb.RatedItem(item_id="i3", rating=5), pb.RatedItem(item_id="i8", rating=1.5)]
    )
    with grpc.insecure_channel(service.address) as channel:
        stub = RecommendationServiceStub(channel)
        replies: list[Message] = [
            stub.Recommend(pb.RecommendRequest(model_spec=spec, user_id=f"u{user}", limit=10))
            for user in range(USERS + 1)
        ]
        replies.append(stub.Recommend(pb.RecommendRequest(model_spec=spec, history=history, limit=10)))
        replies += [
            stub.PredictRating(
                pb.PredictRatingRequest(model_spec=spec, user_id=f"u{item % USERS}", item_id=f"i{item}")
            )
            for item in range(ITEMS + 1)
        ]
        replies += [
            stub.FindSimilarItems(pb.FindSimilarItemsRequest(model_spec=spec, item_id=f"i{item}", limit=10))
            for item in range(ITEMS)
        ]
    return [_without_number(reply) for reply in replies]


def _without_number(reply: Message) -> bytes:
    served = reply.served_version  # type: ignore[attr-defined]  # every reply of the service has it
    assert served.version in {1, 2}
    served.version = 0
    return reply.SerializeToString(deterministic=True)


def test_the_same_answers_bit_for_bit(services: tuple[RunningService, RunningService]) -> None:
    there, here = map(answers, services)
    assert here == there
    assert len(set(there)) > ITEMS  # else nothing was asked


def test_what_callers_are_told_of_it(services: tuple[RunningService, RunningService]) -> None:
    told = []
    for service in services:
        with Client(service.address) as client:
            told.append(client.get_version("movies", alias="production"))
            assert client.get_artifact("movies", PICTURE.name, alias="production").data == PICTURE.data
    trained, imported = told
    assert (imported.version, imported.job_id) == (1, "")
    own = {name: getattr(trained, name) for name in ("version", "job_id", "create_time")}
    assert replace(imported, **own) == trained
