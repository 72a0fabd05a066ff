"""Memory, start, swaps and slow readers: ``python -m benchmarks.large``.

Makes random snapshots of 1,000,000 users and 1,000,000 items x 64 in the folder for temporary files (``TMPDIR``; 1.3
GB), serves them by ``mfserve serve`` and removes them. ``--only`` selects parts, ``--quick`` takes small snapshots and
short times, which says whether it works and nothing else, ``--json FILE`` keeps the figures, ``--markdown`` prints the
tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.load import memory, slow_reader, swap
from benchmarks.load.snapshots import FULL, QUICK
from benchmarks.load.stats import show, table

Figures = dict[str, Any]


def measure(part: str, folder: Path, *, quick: bool) -> Figures:
    """The figures of one part, whose files are put into ``folder``."""
    if part == "memory":
        return memory.measure(folder, *((QUICK, 1, 1) if quick else (FULL, 4, 5)))
    if part == "swap":
        short = swap.Plan(QUICK, swaps=1, warm=0.2, quiet=0.5, around=0.6)
        return swap.measure(folder, short if quick else swap.Plan(FULL))
    short_stall = slow_reader.Plan(batches=60, silent=0.5, before=0.5)
    return slow_reader.measure(folder, short_stall if quick else slow_reader.Plan())


def memory_table(figures: Figures) -> str:
    workers = figures["workers"]
    limit = (f"the limit: 1.3 snapshots and {workers} x 120 MB", _megabytes(figures["pss_limit_bytes"]))
    rows = [
        ("the snapshot's files", _megabytes(figures["snapshot_bytes"])),
        (f"{workers} workers together, PSS", _megabytes(sum(figures["pss_bytes"]))),
        *([limit] if figures["items"] == FULL.items else []),
        ("of it private to a worker", _megabytes(max(figures["anonymous_bytes"]))),
        ("a worker with a tiny model, PSS", _megabytes(max(figures["base_pss_bytes"]))),
        ("the parent, PSS", _megabytes(figures["parent_pss_bytes"])),
        ("start to first answer, median (worst)",
         f"{figures['start_seconds']:.2f} s ({figures['start_worst_seconds']:.2f} s)"),
        ("the same, no page of the snapshot in memory", f"{figures['start_cold_seconds']:.2f} s"),
    ]  # fmt: skip
    return table(("memory and start", ""), rows)


def swap_table(figures: Figures) -> str:
    rows = [
        (
            f"{model}, {rate:g} calls/s, swap {number}",
            *(f"{one[when]['p50_ms']:.1f} / {one[when]['p99_ms']:.1f} / {one[when]['max_ms']:.1f} ms"
              for when in ("before", "around", "loading")),
            f"{one['ratio']:.2f}",
        )
        for (model, swaps), rate in zip(figures["models"].items(), figures["rates"], strict=True)
        for number, one in enumerate(swaps, start=1)
    ]  # fmt: skip
    around = f"{figures['around_seconds']:g} s around the swap"
    head = ("p50 / p99 / longest", "before", around, "while it loads", "p99 around / before")
    told = f"Failed calls: {figures['failed']}. From the alias to the first answer: {figures['swap_seconds']:.1f} s."
    return f"{table(head, rows)}\n\n{told}"


def slow_reader_table(figures: Figures) -> str:
    before, during = figures["before"], figures["during"]
    rows = [
        ("answers that the stream has in all", _megabytes(figures["reply_bytes"])),
        (f"growth of the worker in {figures['silent_seconds']:g} s without a read",
         _megabytes(figures["grew_bytes"])),
        ("growth when all has been read", _megabytes(figures["grew_when_read_bytes"])),
        ("other callers before: p50 / p99 / longest",
         f"{before['p50_ms']:.1f} / {before['p99_ms']:.1f} / {before['max_ms']:.1f} ms"),
        ("other callers meanwhile",
         f"{during['p50_ms']:.1f} / {during['p99_ms']:.1f} / {during['max_ms']:.1f} ms"),
        ("failed calls", str(before["failed"] + during["failed"])),
    ]  # fmt: skip
    return table(("slow reader", ""), rows)


PARTS: dict[str, Callable[[Figures], str]] = {
    "memory": memory_table,
    "swap": swap_table,
    "slow-reader": slow_reader_table,
}
"""Every part, and what makes a table of its figures."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--quick", action="store_true", help="small and short: whether it works")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/benchmarks.md")
    options = parser.parse_args(arguments)
    figures = {}
    for part in options.only:
        with tempfile.TemporaryDirectory(prefix=f"mfserve-{part}-") as folder:
            figures[part] = measure(part, Path(folder), quick=options.quick)
        show(f"{PARTS[part](figures[part])}\n", markdown=options.markdown)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


if __name__ == "__main__":
    main()
