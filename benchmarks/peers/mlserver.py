"""MLServer with the same ranking head as a custom runtime: ``python -m benchmarks.peers.mlserver`` in its environment.

``serve ARRAYS.npz PORT`` answers gRPC inference of the V2 protocol. ``ask ARRAYS.npz PORT`` reads a JSON list of user
ids from standard input and prints, for each, the request and the reply of a real call, and the items in the reply.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse

NAME = "recommender"
LIMIT = 10


class Runtime(MLModel):  # type: ignore[misc]
    """One user id in, the ids, scores and titles of the best ten items out; rated items are left out."""

    async def load(self) -> bool:
        assert self.settings.parameters is not None
        with np.load(str(self.settings.parameters.uri), allow_pickle=False) as stored:
            self.arrays = dict(stored)
        self.number = {user: number for number, user in enumerate(self.arrays["user_ids"].tolist())}
        self.ids = self.arrays["item_ids"].tolist()
        self.titles = self.arrays["titles"].tolist()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (user_id,) = StringCodec.decode_input(payload.inputs[0])
        user = self.number[user_id]
        scores = self.arrays["item_factors"] @ self.arrays["user_factors"][user]
        first, last = self.arrays["indptr"][user : user + 2]
        scores[self.arrays["indices"][first:last]] = -np.inf
        top = np.argpartition(scores, -LIMIT)[-LIMIT:]
        top = top[np.argsort(-scores[top], kind="stable")]
        items = top.tolist()
        return InferenceResponse(
            model_name=NAME,
            outputs=[
                StringCodec.encode_output("item_id", [self.ids[item] for item in items]),
                NumpyCodec.encode_output("score", scores[top]),
                StringCodec.encode_output("title", [self.titles[item] for item in items]),
            ],
        )


async def serve(arrays: Path, port: int) -> None:
    """One process, no inference workers, no metrics and no logging of calls: as quick as it can be on one core."""
    settings = Settings(
        host="127.0.0.1",
        grpc_port=port,
        http_port=_free_port(),
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
    )
    model = ModelSettings(name=NAME, implementation=Runtime, parameters={"uri": str(arrays)})
    await MLServer(settings).start(models_settings=[model])


def ask(port: int, user_ids: list[str]) -> list[dict[str, Any]]:
    """Of each user: request and reply in base64, and the items."""
    found = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        for user in user_ids:
            request = pb.ModelInferRequest(
                model_name=NAME,
                inputs=[
                    pb.ModelInferRequest.InferInputTensor(
                        name="user_id",
                        datatype="BYTES",
                        shape=[1],
                        contents=pb.InferTensorContents(bytes_contents=[user.encode()]),
                    )
                ],
            )
            reply = stub.ModelInfer(request, timeout=60, wait_for_ready=True)
            items = [item.decode() for item in reply.outputs[0].contents.bytes_contents]
            sent, received = (
                base64.b64encode(message.SerializeToString()).decode() for message in (request, reply)
            )
            found.append({"user": user, "request": sent, "reply": received, "items": items})
    return found


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    command, file, wanted = sys.argv[1:]
    if command == "serve":
        uvloop.run(serve(Path(file), int(wanted)))
    else:
        print(json.dumps(ask(int(wanted), json.load(sys.stdin))))
