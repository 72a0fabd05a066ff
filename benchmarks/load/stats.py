"""Runs, one contestant after the other, and what is said of them: medians, spreads, ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.markdown import Markdown

Figures = dict[str, float]
Rows = dict[str, dict[str, list[float]]]
"""By contestant and by what was measured: one value for each run."""


def interleaved(runs: int, contestants: Mapping[str, Callable[[int], Figures]]) -> Rows:
    """All contestants in turn, so many times; each run begins with another one.

    What the machine does meanwhile hits neighbours in a run alike. So ratios are taken within a run.
    """
    names = list(contestants)
    rows: Rows = {name: {} for name in names}
    for run in range(runs):
        first = run % len(names)
        for name in names[first:] + names[:first]:
            for figure, value in contestants[name](run).items():
                rows[name].setdefault(figure, []).append(value)
    return rows


def ratio(rows: Rows, name: str, other: str, figure: str) -> float | None:
    """Median of ``name``'s figure over ``other``'s in the same run; None where one of them was not there."""
    if name not in rows or other not in rows:
        return None
    return median(a / b for a, b in zip(rows[name][figure], rows[other][figure], strict=True))


def spread(values: list[float]) -> float:
    """Half of the range from the lowest to the highest run, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


def with_spread(values: list[float]) -> str:
    """A median and its spread: ``1,234 ± 2 %``."""
    return f"{median(values):,.0f}" + (
        f" ± {spread(values):.0%}".replace("%", " %") if len(values) > 1 else ""
    )


def show(text: str, *, markdown: bool) -> None:
    """Markdown as it is for documents, and laid out for people."""
    if markdown:
        print(text, flush=True)
    else:
        Console().print(Markdown(text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *rows])
