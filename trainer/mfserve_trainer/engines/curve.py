"""The training curve as a CSV table and as a small SVG picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from mfserve_trainer.engines.base import Epoch

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 616, 40, 316
_TICKS = 4
_FONT = 'font-family="sans-serif" font-size="12"'
_COLOURS = ("#1f6fb4", "#d9622b", "#2e8b57", "#8e44ad", "#7f6000", "#a02050")


def as_csv(epochs: Sequence[Epoch]) -> str:
    """A header line, then a line per epoch: its number and its metrics, exact to the last bit."""
    names = _metric_names(epochs)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *names])
    table.writerows([epoch.number, *(repr(epoch.metrics[name]) for name in names)] for epoch in epochs)
    return text.getvalue()


def as_svg(epochs: Sequence[Epoch]) -> str:
    """A line per metric over the epochs; the vertical axis is logarithmic unless a value is not positive."""
    names = _metric_names(epochs)
    axis = _Axis([epoch.metrics[name] for name in names for epoch in epochs])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for value in axis.ticks():
        y = axis.y(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    first, last = epochs[0].number, epochs[-1].number
    for number in sorted({first, (first + last) // 2, last}):
        x = _x(number, first, last)
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{number}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_HEIGHT - 8}" text-anchor="middle">epoch</text>')
    for place, name in enumerate(names):
        colour = _COLOURS[place % len(_COLOURS)]
        points = [(_x(epoch.number, first, last), axis.y(epoch.metrics[name])) for epoch in epochs]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in points)
        parts.append(f'<text x="{_LEFT + 92 * place}" y="20" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Maps metric values to heights in the picture."""

    def __init__(self, values: Sequence[float]) -> None:
        self._logarithmic = min(values) > 0
        low, high = self._scaled(min(values)), self._scaled(max(values))
        # A flat curve still needs an axis of some length.
        self._low, self._high = (low, high) if high > low else (low - 0.5, high + 0.5)

    def y(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    def ticks(self) -> list[float]:
        marks = [self._low + (self._high - self._low) * step / _TICKS for step in range(_TICKS + 1)]
        return [math.exp(mark) for mark in marks] if self._logarithmic else marks

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._logarithmic else value


def _x(number: int, first: int, last: int) -> float:
    return _LEFT + (number - first) / max(1, last - first) * (_RIGHT - _LEFT)


def _metric_names(epochs: Sequence[Epoch]) -> list[str]:
    return list(epochs[0].metrics)
