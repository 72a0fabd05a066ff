"""The figures as tables: for a terminal, and as Markdown for docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison.lines import LINES

Figures = dict[str, float]
Lines = dict[str, list[Figures]]
"""By the line's name, its figures on each split, in the order of the seeds."""

RATING = {"mse": "MSE", "rmse": "RMSE", "mae": "MAE"}
RANKING = {"ndcg_at_10": "nDCG@10", "recall_at_20": "Recall@20", "coverage_at_10": "coverage@10"}
CALIBRATION = {"within_1": "within 1 sd", "within_2": "within 2 sd"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A table, still as texts."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(results: dict[str, Any]) -> list[Shown]:
    """The tables of each data set: rating errors, rankings, and calibration where somebody gives deviations."""
    shown = []
    for name, heads in results["datasets"].items():
        rating, ranking = heads["rating"], with_best_implicit(heads["ranking"])
        calibrated = {line: figures for line, figures in rating.items() if "within_1" in figures[0]}
        shown += [
            _table(f"{name}: predicted ratings", "predictor", rating, RATING, "mse", 4),
            _table(f"{name}: rankings", "ranker", ranking, RANKING, "ndcg_at_10", 4),
            _calibration(f"{name}: true ratings within the predicted deviation", calibrated),
        ]
    return [table for table in shown if table.rows]


def merged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of several runs as those of one; lines in the order of ``LINES``, splits in that of their seeds.

    Raises:
        ValueError: two runs have figures of one line on one split.
    """
    datasets: dict[str, dict[str, Lines]] = {}
    for run in runs:
        for name, heads in run["datasets"].items():
            for head, lines in heads.items():
                into = datasets.setdefault(name, {}).setdefault(head, {})
                for line, figures in lines.items():
                    into[line] = sorted([*into.get(line, []), *figures], key=lambda split: split["seed"])
                    if len({split["seed"] for split in into[line]}) < len(into[line]):
                        raise ValueError(f"{name}: several runs have figures of {line} on one split")
    order = [line.name for line in LINES]
    for heads in datasets.values():
        for head, lines in heads.items():
            heads[head] = {name: lines[name] for name in sorted(lines, key=order.index)}
    versions = {name: version for run in runs for name, version in run["versions"].items()}
    return {"machine": runs[0]["machine"], "versions": versions, "datasets": datasets}


def with_best_implicit(ranking: Lines) -> Lines:
    """The same and, after implicit's settings, what the best of them *on the test part* has on each split."""
    settings = {name: figures for name, figures in ranking.items() if name.startswith("implicit ALS, k")}
    if len(settings) < 2:
        return ranking
    best = [
        max(split, key=lambda figures: figures["ndcg_at_10"])
        for split in zip(*settings.values(), strict=True)
    ]
    merged: Lines = {}
    for name, figures in ranking.items():
        merged[name] = figures
        if name == list(settings)[-1]:
            merged["implicit ALS, the best of these on each split"] = best
    return merged


def markdown(shown: Sequence[Shown]) -> str:
    """The tables as Markdown."""
    parts = []
    for table in shown:
        rule = "|" + "---|" * len(table.columns)
        lines = ["| " + " | ".join(cells) + " |" for cells in (table.columns, *table.rows)]
        parts.append("\n".join([f"### {table.title}", "", lines[0], rule, *lines[1:], ""]))
    return "\n".join(parts)


def show(shown: Sequence[Shown]) -> None:
    """The tables, on the terminal."""
    console = Console()
    for table in shown:
        made = Table(title=table.title)
        for number, column in enumerate(table.columns):
            made.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            made.add_row(*row)
        console.print(made)


def _table(title: str, subject: str, lines: Lines, measures: dict[str, str], each: str, digits: int) -> Shown:
    """Means over the splits, and one measure on every split."""
    splits = f"{measures[each]} on each split"
    rows = [
        [
            name,
            *(f"{mean(figures, measure):.{digits}f}" for measure in measures),
            " ".join(f"{split[each]:.{digits}f}" for split in figures),
            f"{mean(figures, 'seconds'):.1f} s",
        ]
        for name, figures in lines.items()
    ]
    return Shown(title, [subject, *measures.values(), splits, "fit"], rows)


def _calibration(title: str, lines: Lines) -> Shown:
    rows = [
        [
            name,
            *(
                cell
                for measure in CALIBRATION
                for cell in (
                    f"{mean(figures, measure):.1%}",
                    " ".join(f"{split[measure]:.1%}" for split in figures),
                )
            ),
        ]
        for name, figures in lines.items()
    ]
    columns = [cell for name in CALIBRATION.values() for cell in (name, "on each split")]
    return Shown(title, ["predictor", *columns], rows)


def mean(figures: list[Figures], measure: str) -> float:
    """The mean over the splits."""
    return statistics.fmean(split[measure] for split in figures)
