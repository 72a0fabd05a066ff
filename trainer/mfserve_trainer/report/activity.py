"""Rating error by how much is known: of the user, or of the item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from mfserve_scoring import metrics
from mfserve_trainer.report.holdout import Predicted
from mfserve_trainer.report.picture import (
    COLOURS,
    INK,
    Part,
    Picture,
    add_hover,
    new_figure,
    tidy_legend,
)

EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
"""First number of each group of counts; the last group has no end."""


@dataclass(frozen=True, slots=True)
class Group:
    """Held-out ratings whose user (or item) has between ``first`` and ``last`` training ratings.

    Attributes:
        first, last: both included; None: without end.
        count: of held-out ratings, at least 1.
        rmse: of the answers.
        mean_rmse: of answering the mean of all training ratings.
    """

    first: int
    last: int | None
    count: int
    rmse: float
    mean_rmse: float

    @property
    def label(self) -> str:
        """Such as 10–19."""
        if self.last is None:
            return f"{self.first:,}+"
        return f"{self.first:,}" if self.last == self.first else f"{self.first:,}–{self.last:,}"


def groups(known: NDArray[np.int64], rows: Predicted, mean: float) -> list[Group]:
    """The groups that have held-out ratings, from the least known on.

    Args:
        known: int (n,), training ratings of each row's user or item.
        rows: the held-out rows.
        mean: of all training ratings.
    """
    place = np.searchsorted(EDGES, known, side="right") - 1
    found = []
    for group in np.unique(place):
        inside = place == group
        actual = rows.actual[inside]
        found.append(
            Group(
                EDGES[group],
                EDGES[group + 1] - 1 if group + 1 < len(EDGES) else None,
                int(np.count_nonzero(inside)),
                metrics.rmse(rows.predicted[inside], actual),
                metrics.rmse(np.full(len(actual), mean), actual),
            )
        )
    return found


def by_user(rows: Predicted, mean: float, note: str) -> Picture:
    """Error by the user's number of training ratings."""
    return _picture("user", groups(rows.user_ratings, rows, mean), note)


def by_item(rows: Predicted, mean: float, note: str) -> Picture:
    """Error by the item's number of training ratings."""
    return _picture("item", groups(rows.item_ratings, rows, mean), note)


def _picture(whose: str, found: list[Group], note: str) -> Picture:
    source = ColumnDataSource(
        {
            "label": [group.label for group in found],
            "count": [group.count for group in found],
            "rmse": [group.rmse for group in found],
            "mean": [group.mean_rmse for group in found],
        }
    )
    highest = max(max(group.rmse, group.mean_rmse) for group in found)
    drawn = new_figure(
        f"training ratings of the {whose}",
        "RMSE",
        x_range=[group.label for group in found],
        y_range=(0, 1.3 * highest or 1),
    )
    bars = drawn.vbar(
        "label",
        top="rmse",
        width=0.72,
        source=source,
        color=COLOURS["RATING_HEAD"],
        fill_alpha=0.85,
        legend_label="Rating head",
    )
    marks = drawn.vbar(
        "label",
        bottom="mean",
        top="mean",
        width=0.9,
        source=source,
        line_width=3,
        color=INK,
        legend_label="Mean rating for everything",
    )
    drawn.xgrid.grid_line_color = None
    add_hover(
        drawn,
        [bars, marks],
        [
            (f"ratings of the {whose}", "@label"),
            ("held-out ratings", "@count{0,0}"),
            ("RMSE, rating head", "@rmse{0.000}"),
            ("RMSE, mean rating", "@mean{0.000}"),
        ],
    )
    tidy_legend(drawn, "top_left")
    drawn.legend.orientation = "horizontal"
    return Picture(
        Part.RATINGS,
        f"Error by what is known of the {whose}",
        f"The lower the bar, the nearer to the truth; below the dash it is nearer than the mean rating.{note}",
        drawn,
    )
