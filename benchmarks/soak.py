"""Everything at once for some minutes: trainings, swaps, streams, single calls. Does memory grow, does a call fail?

python -m benchmarks.soak --minutes 10
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.load.memory import rollup_bytes
from benchmarks.service import Started, started
from mfserve import Als, Client
from mfserve.errors import AbortedError

MODEL = "soak"
CALLERS = 4
_SAMPLE_SECONDS = 2.0


class Soak:
    """What happens meanwhile, in a thread each.

    Args:
        address: of the server.
        seconds: how long.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self._address = address
        self._until = time.monotonic() + seconds
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.versions: set[int] = set()
        self._noting = threading.Lock()

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._until

    def run(self, watch: Callable[[], None]) -> None:
        """Until the time is over; ``watch`` is called every two seconds."""
        kinds = [self._call] * CALLERS + [self._stream, self._train, self._roll_back]
        threads = [threading.Thread(target=self._repeat, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        while not self.is_over:
            watch()
            time.sleep(_SAMPLE_SECONDS)
        for thread in threads:
            thread.join()

    def _repeat(self, kind: Callable[[Client], None]) -> None:
        name = kind.__name__.strip("_")
        with Client(self._address) as client:
            while not self.is_over:
                try:
                    kind(client)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is told at the end
                    outcome, which = self.failed, f"{name}: {error!r}"
                else:
                    outcome, which = self.done, name
                with self._noting:
                    outcome[which] += 1

    def _call(self, client: Client) -> None:
        user = str(random.randint(1, 943))
        found = client.recommend(MODEL, user, limit=10, include_seen=random.random() < 0.5)
        self.versions.add(found.served_version.version)

    def _stream(self, client: Client) -> None:
        users = [str(number) for number in range(1, 944)] * 4
        if (found := sum(1 for _ in client.stream_recommend(MODEL, users))) != len(users):
            raise RuntimeError(f"{found} of {len(users)} users were answered")

    def _train(self, client: Client) -> None:
        job = train(client)
        job.result(timeout=600)

    def _roll_back(self, client: Client) -> None:
        """Between the last two versions, every few seconds."""
        time.sleep(5.0)
        newest = next(iter(client.list_versions(MODEL))).version
        alias = {each.alias: each for each in client.get_model(MODEL).aliases}["production"]
        wanted = newest if alias.targets[0].version != newest else max(newest - 1, 1)
        with suppress(AbortedError):  # a training has moved it meanwhile
            client.set_alias(MODEL, "production", wanted, expected_revision=alias.revision)


def train(client: Client):  # type: ignore[no-untyped-def]
    return client.train(
        MODEL,
        dataset="movielens-100k",
        rating=Als(),
        seed=random.randint(0, 2**31 - 1),
        promote_to_alias="production",
    )


def measure(home: Path, minutes: float, workers: int) -> dict[str, object]:
    with started(home, "--workers", str(workers)) as service:
        with Client(service.address) as client:
            train(client).result(timeout=600)
        soak = Soak(service.address, 60 * minutes)
        sizes: dict[int, list[tuple[float, int]]] = {pid: [] for pid in (service.parent, *service.workers)}
        begun = time.monotonic()

        def weigh() -> None:
            for pid, found in sizes.items():
                # Not the snapshots: those that a version once came from stay mapped, up to a bound.
                found.append((time.monotonic() - begun, rollup_bytes(pid, "Anonymous")))

        soak.run(weigh)
        return {
            "minutes": minutes,
            "done": dict(soak.done),
            "versions_seen": len(soak.versions),
            "failed": dict(soak.failed),
            "memory": {name: _slope(sizes[pid]) for name, pid in _names(service).items()},
        }


def _names(service: Started) -> dict[str, int]:
    return {"parent": service.parent} | {f"worker {n}": pid for n, pid in enumerate(service.workers)}


def _slope(samples: list[tuple[float, int]]) -> dict[str, float]:
    """Of the line through the second half of the samples, with its standard error, in MiB a minute."""
    half = np.array(samples[len(samples) // 2 :], dtype=float)
    minutes, mib = half[:, 0] / 60, half[:, 1] / 2**20
    centred = minutes - minutes.mean()
    slope = float(centred @ mib / (centred @ centred))
    rest = mib - mib.mean() - slope * centred
    error = float(np.sqrt(rest @ rest / max(len(rest) - 2, 1) / (centred @ centred)))
    return {
        "first_mib": round(samples[0][1] / 2**20, 1),
        "last_mib": round(samples[-1][1] / 2**20, 1),
        "mib_a_minute": round(slope, 3),
        "standard_error": round(error, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mfserve-soak-") as name:
        found = measure(Path(name), options.minutes, options.workers)
    print(json.dumps(found, indent=1))
    if found["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
