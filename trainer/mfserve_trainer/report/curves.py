"""The training curves: what each epoch of a fit measured on its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource

from mfserve_trainer.engines.base import Epoch
from mfserve_trainer.report.picture import (
    GREY,
    INDIGO,
    INK,
    ORANGE,
    PINK,
    TEAL,
    Part,
    Picture,
    add_hover,
    new_figure,
    tidy_legend,
)

_COLOURS = (INDIGO, TEAL, ORANGE, PINK, INK, GREY)


def picture(head: str, epochs: Sequence[Epoch]) -> Picture:
    """A line per metric over the epochs; the vertical axis is logarithmic unless a value is not positive.

    Args:
        head: "Rating head" or "Ranking head".
        epochs: of one fit, at least one, all with the same metrics.
    """
    names = list(epochs[0].metrics)
    logarithmic = all(epoch.metrics[name] > 0 for epoch in epochs for name in names)
    axis = "metric, logarithmic" if logarithmic else "metric"
    drawn = new_figure("epoch", axis, y_axis_type="log" if logarithmic else "linear")
    for place, name in enumerate(names):
        source = ColumnDataSource(
            {
                "epoch": [epoch.number for epoch in epochs],
                "value": [epoch.metrics[name] for epoch in epochs],
                "metric": [name] * len(epochs),
            }
        )
        style: dict[str, Any] = {
            "source": source,
            "color": _COLOURS[place % len(_COLOURS)],
            "legend_label": name,
        }
        drawn.line("epoch", "value", line_width=2.5, **style)
        points = drawn.scatter("epoch", "value", size=7, **style)
        add_hover(drawn, [points], [("epoch", "@epoch"), ("@metric", "@value{0.0000}")])
    tidy_legend(drawn, "top_right")
    return Picture(
        Part.TRAINING,
        head,
        "Of the fit that is served, measured on the rows it was trained on"
        " (val_: on the part it set aside): what is fitted, not what is foretold.",
        drawn,
    )
