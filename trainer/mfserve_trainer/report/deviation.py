"""Do predicted standard deviations say how far off a prediction is?"""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from mfserve_trainer.report.picture import (
    COLOURS,
    INK,
    Part,
    Picture,
    add_hover,
    in_percent,
    new_figure,
    tidy_legend,
)

_REACH = np.linspace(0.1, 3.0, 30)
_MARKED = np.array([1.0, 2.0])


def within(
    predicted: NDArray[np.float64],
    stddev: NDArray[np.float64],
    actual: NDArray[np.float64],
    deviations: float,
) -> float:
    """Share of rows whose |r − r̂| is at most so many of their standard deviations.

    Args:
        predicted, stddev, actual: float (n,), n at least 1, stddev above 0.
        deviations: above 0.
    """
    return float(np.mean(np.abs(actual - predicted) <= deviations * stddev))


def normal_share(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a normal distribution within so many deviations of its mean: 68.3 % for 1, 95.4 % for 2."""
    return np.array([math.erf(z / math.sqrt(2)) for z in deviations])


def picture(
    predicted: NDArray[np.float64], stddev: NDArray[np.float64], actual: NDArray[np.float64], note: str
) -> Picture:
    """How often the truth lies within so many deviations, beside the normal distribution."""

    def columns(reach: NDArray[np.float64]) -> ColumnDataSource:
        observed = [within(predicted, stddev, actual, float(z)) for z in reach]
        labels = [f"{share:.1%}" for share in observed]
        return ColumnDataSource(
            {"reach": reach, "observed": observed, "normal": normal_share(reach), "label": labels}
        )

    curve, marked = columns(_REACH), columns(_MARKED)
    colour = COLOURS["RATING_HEAD"]
    drawn = new_figure("predicted standard deviations", "share of held-out ratings within", y_range=(0, 1.05))
    in_percent(drawn.yaxis)
    drawn.line("reach", "observed", source=curve, color=colour, line_width=4, legend_label="Rating head")
    # On top, as the two may be the same to a pixel.
    drawn.line(
        "reach", "normal", source=curve, color=INK, line_dash="dashed", line_width=1.5, legend_label="Normal"
    )
    points = drawn.scatter("reach", "observed", source=marked, size=11, color=colour, line_color="white")
    drawn.text(
        "reach",
        "observed",
        "label",
        source=marked,
        x_offset=10,
        y_offset=16,
        text_font_size="12px",
        text_color=INK,
    )
    add_hover(
        drawn,
        [points],
        [
            ("within", "@reach{0} standard deviations"),
            ("held-out ratings", "@observed{0.0%}"),
            ("normal distribution", "@normal{0.0%}"),
        ],
    )
    tidy_legend(drawn, "bottom_right")
    return Picture(
        Part.RATINGS,
        "Calibration of the standard deviation",
        "How often the truth lies within so many predicted standard deviations; above the dashed line they are wider "
        f"than they need be, below it too narrow.{note}",
        drawn,
    )
