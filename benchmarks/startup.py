"""How long until the first answer: ``python -m benchmarks.startup``.

Starts ``mfserve serve`` over a registry with MovieLens 100K already published and takes the time from the start of the
process to the first answer of Recommend; and imports the SDK in fresh interpreters. Medians of several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.service import running
from mfserve import Client

IMPORT = (
    "import sys, time; began = time.perf_counter(); import mfserve; bare = time.perf_counter() - began; "
    "mfserve.Client; "
    "print(bare, time.perf_counter() - began, 'numpy' in sys.modules or 'tensorflow' in sys.modules)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    imports = [subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout.split()
               for _ in range(runs)]  # fmt: skip
    if any(found[2] == "True" for found in imports):
        raise SystemExit("the SDK loads numpy or TensorFlow")
    with tempfile.TemporaryDirectory(prefix="mfserve-startup-") as home:
        first_answer(Path(home), train=True)
        answers = [first_answer(Path(home)) for _ in range(runs)]
    figures = {
        "runs": runs,
        "import_mfserve_s": statistics.median(float(found[0]) for found in imports),
        "import_client_s": statistics.median(float(found[1]) for found in imports),
        "start_to_first_recommend_s": statistics.median(answers),
        "start_to_first_recommend_worst_s": max(answers),
    }
    print(json.dumps(figures))


def first_answer(home: Path, *, train: bool = False) -> float:
    """Seconds from the start of the server process to the first answer."""
    began = time.perf_counter()
    with running(home) as address, Client(address) as client:
        if train:
            client.train("movies", dataset="movielens-100k").result()
        client.recommend("movies", "196")
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
