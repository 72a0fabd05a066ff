"""Unary calls by h2load (nghttp2), which sends raw gRPC frames: no client in Python holds the server back."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load.cores import LOAD_CORE, on_core

STREAMS = 8
"""Calls under way on each connection."""


class CallsFailed(Exception):
    """Not every call had an answer of the length that it should have."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, which is sent again and again.

    Attributes:
        path: the method, such as ``/mfserve.v1.RecommendationService/Recommend``.
        request: the message's bytes.
        reply_bytes: length of the reply's message. A call that fails has none, and HTTP status 200 all the same.
        token: what shows who calls, if anything.
    """

    path: str
    request: bytes
    reply_bytes: int
    token: str | None = None


def load(address: str, calls: Sequence[Call], seconds: float) -> tuple[int, float]:
    """Sends the calls at the same time, each on a connection of its own, 8 at once; (requests, requests per second).

    Raises:
        CallsFailed: an answer was missing, failed, or had another length.
    """
    with TemporaryDirectory(prefix="mfserve-h2load-") as folder, ExitStack() as stack:
        running = []
        for number, call in enumerate(calls):
            body = Path(folder) / f"{number}.bin"
            body.write_bytes(struct.pack(">BI", 0, len(call.request)) + call.request)
            command = ["h2load", "-c1", f"-m{STREAMS}", f"-D{round(1000 * seconds)}ms", "-d", str(body)]
            command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
            if call.token is not None:
                command += ["-H", f"authorization: Bearer {call.token}"]
            command.append(f"http://{address}{call.path}")
            running.append(
                stack.enter_context(
                    subprocess.Popen(on_core(LOAD_CORE, *command), stdout=subprocess.PIPE, text=True)
                )
            )
        outputs = [process.communicate(timeout=seconds + 60)[0] for process in running]
    found = [_parse(output, call) for output, call in zip(outputs, calls, strict=True)]
    requests, rate = (sum(column) for column in zip(*found, strict=True))
    if not requests:
        raise CallsFailed("\n".join(outputs))
    return int(requests), rate


def _parse(output: str, call: Call) -> tuple[int, float]:
    finished = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", output)
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    data = re.search(r"\((\d+)\) data", output)
    if not finished or not counted or not data:
        raise CallsFailed(output)
    succeeded, *bad = map(int, counted.groups())
    # Where time is up there may be answers on the way that are not counted.
    least = succeeded * (5 + call.reply_bytes)
    if any(bad) or not least <= int(data[1]) <= least + STREAMS * (5 + call.reply_bytes):
        raise CallsFailed(output)
    return succeeded, float(finished[1])
