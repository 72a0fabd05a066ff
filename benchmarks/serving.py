"""How fast mfserve serves, beside what it could reach and what others reach: ``python -m benchmarks.serving``.

Needs h2load (Debian: nghttp2-client) and, for MLServer, ``make peers``. Sections, which ``--only`` picks:

``unary``: Recommend on MovieLens 100K, users at random (``benchmarks.load.unary``).
``bulk``: StreamRecommend on MovieLens 100K, with the default 48 factors and with 20 (``benchmarks.load.bulk``).
``sharing``: Recommend on a million items, with 1 caller and with 64 (``benchmarks.load.sharing``).
``overload``: the same at three times its capacity (``benchmarks.load.overload``); half a minute, one run.

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
from benchmarks.load.serving import BATCH_SIZES
from benchmarks.load.stats import show

SECTIONS = ("unary", "bulk", "sharing", "overload")
DEFAULT, NARROW = "movies", "movies-k20"


def main(given: Sequence[str] | None = None) -> None:
    options = parse(given)
    stay_on_load_core()
    check(options)
    with tempfile.TemporaryDirectory(prefix="mfserve-serving-") as name:
        found = measure(options, Path(name))
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
    parser.add_argument("--batch-sizes", type=int, nargs="+", choices=BATCH_SIZES, default=BATCH_SIZES)
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
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/benchmarks.md")
    options = parser.parse_args(given)
    if options.quick:
        options.runs, options.seconds, options.rounds, options.batch_sizes = 1, 0.2, 1, [64]
    return options


def check(options: argparse.Namespace) -> None:
    """Ends the program where something is missing."""
    from benchmarks.comparison.running import installed, tell_left_out

    if "unary" in options.only and options.quick:
        tell_left_out(["mlserver"])
    if "unary" in options.only and shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    if "unary" in options.only and not options.quick and not installed("mlserver"):
        raise SystemExit("no environment for mlserver: run make peers")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of each section. Its tables are printed as soon as they are there."""
    from benchmarks.load import bulk, contestants, overload, sharing, unary

    runs, seconds = options.runs, options.seconds
    with contestants.Services() as services:
        sections: dict[str, tuple[Callable[[Path], Any], Callable[[Any], str]]] = {
            "unary": (
                lambda home: unary.measure(
                    services, home, DEFAULT, folder,
                    runs=runs, rounds=options.rounds, seconds=seconds, peers=not options.quick,
                ),
                unary.tables,
            ),
            "bulk": (
                lambda home: bulk.measure(
                    services, home, (DEFAULT,) if options.quick else (DEFAULT, NARROW), folder,
                    runs=runs, seconds=seconds, batch_sizes=options.batch_sizes,
                ),
                bulk.tables,
            ),
            "sharing": (
                lambda home: sharing.measure(
                    services, home, runs=runs, seconds=seconds if options.quick else 4 * seconds
                ),
                sharing.tables,
            ),
            "overload": (
                lambda home: overload.measure(services, home, seconds=seconds if options.quick else 30 * seconds),
                overload.tables,
            ),
        }  # fmt: skip
        homes = random_models(folder) if options.quick else models(options, folder)
        found = {}
        for section in options.only:
            measured, tables = sections[section]
            found[section] = measured(homes[section])
            show(f"### {section}\n\n{tables(found[section])}\n", markdown=options.markdown)
    return found


def random_models(folder: Path) -> dict[str, Path]:
    """Small ones, all in one home."""
    from benchmarks.load import sharing
    from benchmarks.load.snapshots import Size, publish
    from mfserve_registry import Registry

    home = folder / "home"
    with Registry.open(home) as registry:
        publish(registry, DEFAULT, Size(60, 200, factors=12))
        publish(registry, sharing.MODEL, Size(50, 3000, factors=8))
    return dict.fromkeys(SECTIONS, home)


def models(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """A home for each section that is asked for: MovieLens 100K, trained, and a million random items."""
    from benchmarks.load import sharing
    from benchmarks.load.snapshots import Size, publish
    from mfserve_registry import Registry

    homes = {}
    if trained := {"unary", "bulk"} & set(options.only):
        homes = dict.fromkeys(trained, options.home or folder / "movielens")
        train(homes[trained.pop()], {DEFAULT} | ({NARROW} if "bulk" in options.only else set()))
    if large := {"sharing", "overload"} & set(options.only):
        homes |= dict.fromkeys(large, folder / "catalogue")
        with Registry.open(folder / "catalogue") as registry:
            publish(registry, sharing.MODEL, Size(1000, 1_000_000))
    return homes


def train(home: Path, wanted: set[str]) -> None:
    """Trains those of the models that are not there yet."""
    from benchmarks.service import running
    from mfserve import Client, Ials, NoRating

    home.mkdir(parents=True, exist_ok=True)
    with running(home) as address, Client(address) as client:
        there = {model.model for model in client.list_models()}
        for model in wanted - there:
            narrow = model == NARROW  # its rating head would not be asked
            client.train(
                model,
                dataset="movielens-100k",
                rating=NoRating() if narrow else None,
                ranking=Ials(factors=20) if narrow else None,
            ).result()


if __name__ == "__main__":
    main()
