"""How fast mfserve serves, beside what it could reach and what others reach: ``python -m benchmarks.serving``.

Needs h2load (Debian: nghttp2-client) and, for MLServer, ``make peers``. Sections, which ``--only`` picks:

``unary``: Recommend on MovieLens 100K, users at random (``benchmarks.load.unary``).
``bulk``: StreamRecommend on MovieLens 100K, with the default 48 factors and with 20 (``benchmarks.load.bulk``).
``sharing``: Recommend on a million items, with 1 caller and with 64 (``benchmarks.load.sharing``).

Every server is one process on the first core, the load is on the last one. Contestants take turns within each run. An
answer that is wrong ends the benchmark. Without ``--home`` the models are trained first, which takes a minute.

The parts are imported when this process is on its core: BLAS and gRPC start threads for the cores that they find.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.load.cores import stay_on_load_core

SECTIONS = ("unary", "bulk", "sharing")
DEFAULT, NARROW = "movies", "movies-k20"


def main(given: Sequence[str] | None = None) -> None:
    options = parse(given)
    stay_on_load_core()
    check(options)
    with tempfile.TemporaryDirectory(prefix="mfserve-serving-") as name:
        folder = Path(name)
        home = prepare(options, folder)
        found = {section: run(section, options, home, folder) for section in options.only}
    if options.json:
        packages = ("mfserve", "grpcio", "protobuf", "numpy", "uvloop")
        facts = {
            "machine": {
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "versions": {package: version(package) for package in packages},
            "runs": options.runs,
        }
        options.json.write_text(json.dumps(facts | found, indent=1) + "\n", "utf-8")


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--runs", type=int, default=5, help="of every contestant; medians are told")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4, help="of eight users each in a run of unary calls")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", choices=(64, 256, 1024), default=[64, 256, 1024]
    )
    parser.add_argument(
        "--home",
        type=Path,
        help=f"with MovieLens 100K trained as {DEFAULT}; {NARROW} is trained there if missing",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small random model, for seconds, without peers: to try the procedure",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of each run there")
    parser.add_argument(
        "--markdown", action="store_true", help="print nothing but the tables of docs/benchmarks.md"
    )
    options = parser.parse_args(given)
    if options.quick:
        options.runs, options.seconds, options.rounds, options.batch_sizes = 1, 0.2, 1, [64]
    return options


def check(options: argparse.Namespace) -> None:
    """Ends the program where something is missing."""
    from benchmarks.comparison.running import installed

    if "unary" in options.only and shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    if "unary" in options.only and not options.quick and not installed("mlserver"):
        raise SystemExit("no environment for mlserver: run make peers")


def prepare(options: argparse.Namespace, folder: Path) -> Path:
    """A home with the models that are asked for."""
    from benchmarks.load import catalogue
    from benchmarks.service import running
    from mfserve import Client, Ials, NoRating

    home: Path = options.home or folder / "home"
    if options.home is None:
        home.mkdir()
    if options.quick:
        catalogue.publish(home, DEFAULT, users=60, items=200, factors=12)
        return home
    wanted = {DEFAULT} if "unary" in options.only else set()
    if "bulk" in options.only:
        wanted = {DEFAULT, NARROW}
    with running(home) as address, Client(address) as client:
        there = {model.model for model in client.list_models()}
        if DEFAULT in wanted - there:
            client.train(DEFAULT, dataset="movielens-100k").result()
        if NARROW in wanted - there:
            client.train(
                NARROW, dataset="movielens-100k", rating=NoRating(), ranking=Ials(factors=20)
            ).result()
    return home


def run(section: str, options: argparse.Namespace, home: Path, folder: Path) -> Any:
    """Figures of one section; its tables are printed as soon as they are there."""
    from benchmarks.load import bulk, sharing, unary

    timing = {"runs": options.runs, "seconds": options.seconds}
    sizes = (
        {"users": 50, "items": 3000, "factors": 8}
        if options.quick
        else {"users": 1000, "items": 1_000_000, "factors": 64}
    )
    models = (DEFAULT,) if options.quick else (DEFAULT, NARROW)
    measure: dict[str, tuple[Callable[[], Any], Callable[[Any], str]]] = {
        "unary": (
            lambda: unary.measure(
                home, DEFAULT, folder, rounds=options.rounds, peers=not options.quick, **timing
            ),
            unary.tables,
        ),
        "bulk": (
            lambda: bulk.measure(home, models, folder, batch_sizes=options.batch_sizes, **timing),
            bulk.tables,
        ),
        "sharing": (
            lambda: sharing.measure(
                folder, **sizes, runs=options.runs, seconds=options.seconds * (1 if options.quick else 4)
            ),
            sharing.tables,
        ),
    }
    measured, tables = measure[section]
    figures = measured()
    print(f"### {section}\n\n{tables(figures)}\n", flush=True)
    return figures


if __name__ == "__main__":
    main()
