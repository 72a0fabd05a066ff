"""How popular what is recommended is, and how much of the catalogue it covers."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange
from numpy.typing import NDArray

from mfserve_trainer.report.holdout import LIST_LENGTH, Recommended
from mfserve_trainer.report.picture import (
    COLOURS,
    GREY,
    PINK,
    Part,
    Picture,
    add_hover,
    in_percent,
    label_of,
    new_figure,
    tidy_legend,
)

_TENTHS = 10
_RATINGS = "Ratings"
_CURVE_POINTS = 400


def by_tenth(weight: NDArray[np.int64], item_ratings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of ``weight`` that falls to each tenth of the items, the most rated tenth first.

    Args:
        weight: int (items,), such as how often each item is recommended; not all 0.
        item_ratings: int (items,), what popularity is; of equally popular items the first counts as more popular.

    Returns:
        float (10,), of sum 1. With fewer than 10 items some tenths are empty.
    """
    order = np.argsort(-item_ratings, kind="stable")
    tenth = np.arange(len(order)) * _TENTHS // len(order)
    shares = np.bincount(tenth, weights=weight[order], minlength=_TENTHS)
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def concentration(weight: NDArray[np.int64]) -> NDArray[np.float64]:
    """The Lorenz curve from its top: share of ``weight`` that the n most frequent items have.

    Args:
        weight: as for ``by_tenth``.

    Returns:
        float (items + 1,), from 0 to 1, concave; it reaches 1 at the share of the items that is covered.
    """
    rising = np.cumsum(np.sort(weight)[::-1]) / weight.sum()
    return np.concatenate(([0.0], rising))


def popularity_picture(lists: Recommended) -> Picture:
    """Share of the places in lists by how popular the item is, beside the share of ratings."""
    tenths = ["most rated tenth", *(f"{place}th" for place in range(4, _TENTHS)), "least rated tenth"]
    tenths[1:1] = ["2nd", "3rd"]
    weights = _weights(lists)
    drawn = new_figure("items by number of ratings", "share", x_range=FactorRange(factors=tenths))
    in_percent(drawn.yaxis)
    step = 0.84 / len(weights)
    for place, (name, weight) in enumerate(weights.items()):
        offset = (place - (len(weights) - 1) / 2) * step
        source = ColumnDataSource(
            {
                "x": [(tenth, offset) for tenth in tenths],
                "tenth": tenths,
                "share": by_tenth(weight, lists.item_ratings),
                "name": [label_of(name)] * _TENTHS,
            }
        )
        bars = drawn.vbar(
            "x",
            top="share",
            width=step * 0.92,
            source=source,
            color=COLOURS.get(name, GREY if name == _RATINGS else PINK),
            legend_label=label_of(name),
        )
        add_hover(drawn, [bars], [("", "@name"), ("items", "@tenth"), ("share", "@share{0.0%}")])
    drawn.xgrid.grid_line_color = None
    drawn.y_range.start = 0
    tidy_legend(drawn, "top_right")
    return Picture(
        Part.RECOMMENDATIONS,
        "Popularity of what is recommended",
        f"Whose places the lists of {LIST_LENGTH} give to popular and to unpopular items, beside what people rated."
        f"{lists.note()}",
        drawn,
        wide=True,
    )


def coverage_picture(lists: Recommended) -> Picture:
    """Concentration curves of the recommendations of each ranker and of the ratings."""
    drawn = new_figure("share of the items, the most frequent first", "share of places", y_range=(0, 1.03))
    in_percent(drawn.xaxis)
    in_percent(drawn.yaxis)
    for name, weight in _weights(lists).items():
        curve = concentration(weight)
        places = _curve_places(len(weight), int(np.count_nonzero(weight)))
        source = ColumnDataSource(
            {"items": places / len(weight), "share": curve[places], "name": [label_of(name)] * len(places)}
        )
        covered = np.count_nonzero(weight) / len(weight)
        line = drawn.line(
            "items",
            "share",
            source=source,
            color=COLOURS.get(name, GREY if name == _RATINGS else PINK),
            line_width=2.5,
            legend_label=f"{label_of(name)}: {covered:.1%} of the items",
        )
        add_hover(
            drawn,
            [line],
            [("", "@name"), ("most frequent items", "@items{0.0%}"), ("share of places", "@share{0.0%}")],
        )
    tidy_legend(drawn, "bottom_right")
    return Picture(
        Part.RECOMMENDATIONS,
        "Coverage of the catalogue",
        f"How much of the lists of {LIST_LENGTH} (or of the ratings) the most frequent items take; a curve that rises "
        f"later spreads wider, and the legend says how many of the items occur at all.{lists.note()}",
        drawn,
        wide=True,
    )


def _weights(lists: Recommended) -> dict[str, NDArray[np.int64]]:
    """What is drawn: the ratings, and every ranker that has recommended anything; of nothing there are no shares."""
    return {_RATINGS: lists.item_ratings} | {
        name: slots for name, slots in lists.slots.items() if slots.any()
    }


def _curve_places(items: int, covered: int) -> NDArray[np.int64]:
    """Where the curve is drawn: evenly, denser at its steep beginning, and where it reaches 1."""
    even = np.linspace(0, items, _CURVE_POINTS)
    steep = np.geomspace(1, items, _CURVE_POINTS)
    return np.unique(np.concatenate((even, steep, [covered]))).astype(np.int64)
