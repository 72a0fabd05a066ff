"""Is what is predicted, on the average, what people then rated?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from mfserve_registry.spec import RatingScale
from mfserve_trainer.report.holdout import Predicted
from mfserve_trainer.report.picture import (
    COLOURS,
    GREY,
    Part,
    Picture,
    add_hover,
    new_figure,
    tidy_legend,
)

BINS = 20
_SIZES = (8.0, 30.0)
_TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True)
class Bin:
    """Held-out ratings whose prediction lies in one twentieth of the scale.

    Attributes:
        count: at least 1.
        predicted: mean of the predictions.
        actual: mean of the ratings.
        error: standard error of that mean, s/√n with s over the bin; 0 where there is one rating only.
    """

    count: int
    predicted: float
    actual: float
    error: float


def bins(predicted: NDArray[np.float64], actual: NDArray[np.float64], scale: RatingScale) -> list[Bin]:
    """The bins that have ratings, from the lowest prediction on; predictions lie within the scale."""
    share = (predicted - scale.minimum) / (scale.maximum - scale.minimum)
    place = np.clip((share * BINS).astype(np.int64), 0, BINS - 1)
    found = []
    for number in np.unique(place):
        inside = place == number
        count = int(np.count_nonzero(inside))
        spread = float(np.std(actual[inside], ddof=1)) if count > 1 else 0.0
        found.append(
            Bin(count, float(predicted[inside].mean()), float(actual[inside].mean()), spread / count**0.5)
        )
    return found


def picture(rows: Predicted, scale: RatingScale, note: str) -> Picture:
    """Mean rating against mean prediction; on the diagonal they are the same."""
    found = bins(rows.predicted, rows.actual, scale)
    counts = np.array([one.count for one in found])
    low, high = _SIZES
    source = ColumnDataSource(
        {
            "predicted": [one.predicted for one in found],
            "actual": [one.actual for one in found],
            "count": counts,
            "lower": [one.actual - _TWO_SIDED_95 * one.error for one in found],
            "upper": [one.actual + _TWO_SIDED_95 * one.error for one in found],
            "size": low + (high - low) * np.sqrt(counts / counts.max()),
        }
    )
    margin = 0.04 * (scale.maximum - scale.minimum)
    ends = (scale.minimum - margin, scale.maximum + margin)
    drawn = new_figure("predicted rating", "mean of what was rated", x_range=ends, y_range=ends)
    diagonal = [scale.minimum, scale.maximum]
    drawn.line(
        diagonal, diagonal, color=GREY, line_dash="dashed", line_width=2, legend_label="perfectly calibrated"
    )
    colour = COLOURS["RATING_HEAD"]
    drawn.segment("predicted", "lower", "predicted", "upper", source=source, color=colour, line_width=2)
    points = drawn.scatter(
        "predicted",
        "actual",
        size="size",
        source=source,
        fill_color=colour,
        fill_alpha=0.75,
        line_color="white",
        legend_label="Rating head",
    )
    add_hover(
        drawn,
        [points],
        [
            ("mean prediction", "@predicted{0.00}"),
            ("mean rating", "@actual{0.00}"),
            ("95 % interval", "@lower{0.00} – @upper{0.00}"),
            ("held-out ratings", "@count{0,0}"),
        ],
    )
    tidy_legend(drawn, "top_left")
    return Picture(
        Part.RATINGS,
        "Calibration of predicted ratings",
        "Each dot is a group of like predictions, as large as their number; above the diagonal people rated higher "
        f"than was foretold.{note}",
        drawn,
    )
