"""What a page is made of: figures with a title and a sentence on how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from bokeh.models import HoverTool, NumeralTickFormatter
from bokeh.plotting import figure

Figure: TypeAlias = figure
"""Bokeh's figure, as a type."""

Tooltips = Sequence[tuple[str, str]]
"""Label and Bokeh's placeholder, such as ``("ratings", "@count{0,0}")``. Bokeh puts a value there as text, not HTML."""

INK, GRID = "#343a40", "#e9ecef"
INDIGO, TEAL, ORANGE, PINK, GREY = "#4263eb", "#0ca678", "#f08c00", "#d6336c", "#adb5bd"

COLOURS = {"RATING_HEAD": INDIGO, "RANKING_HEAD": TEAL, "POPULARITY": ORANGE}
"""One colour for one thing, on every picture of the page."""


class Part(StrEnum):
    """The parts of the page, in the order in which they stand there."""

    RATINGS = "How well ratings are predicted"
    RECOMMENDATIONS = "What is recommended"
    ITEMS = "How items lie to each other"
    TRAINING = "How the training went"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure and what a person has to know of it.

    Attributes:
        part: where it belongs.
        title: what it shows, in a few words.
        caption: how to read it, or why there is no figure.
        figure: None where there is nothing to draw.
        wide: whether it takes the page's whole width.
    """

    part: Part
    title: str
    caption: str
    figure: Figure | None
    wide: bool = False


def new_figure(x_label: str, y_label: str, *, height: int = 360, **options: Any) -> Figure:
    """An empty figure in the page's style, as wide as the page lets it be."""
    drawn = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_scroll=None,
        toolbar_location="above",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    drawn.toolbar.logo = None
    drawn.toolbar.autohide = True
    for axis, label in ((drawn.xaxis, x_label), (drawn.yaxis, y_label)):
        axis.axis_label = label
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = GREY
        axis.minor_tick_line_color = None
    drawn.grid.grid_line_color = GRID
    return drawn


def add_hover(drawn: Figure, renderers: Sequence[Any], tooltips: Tooltips, *, mode: str = "mouse") -> None:
    """Shows a small table beside the pointer; ``mode`` "vline" shows all points of the same x."""
    drawn.add_tools(HoverTool(renderers=list(renderers), tooltips=list(tooltips), mode=mode))


def tidy_legend(drawn: Figure, place: str) -> None:
    """Puts the legend where it covers nothing; a click on an entry hides its glyphs."""
    legend = drawn.legend
    legend.location = place
    legend.click_policy = "hide"
    legend.border_line_color = None
    legend.background_fill_alpha = 0.7
    legend.label_text_color = INK
    legend.label_text_font_size = "12px"


def in_percent(axis: Any) -> None:
    """Labels the axis in percent."""
    axis.formatter = NumeralTickFormatter(format="0 %")


def label_of(name: str) -> str:
    """RANKING_HEAD as a person reads it: Ranking head."""
    return name.replace("_", " ").capitalize()
