"""The items' embeddings on a plane: near each other is what similar people like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper
from bokeh.palettes import Viridis256
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer.report.picture import INK, Figure, Part, Picture, add_hover, new_figure

MOST_ITEMS = 1_000
FEWEST_ITEMS = 5
_NEIGHBOURS = 20
"""t-SNE's perplexity."""
_ROUNDS = 400
"""Hardly differs from 1,000 rounds to the eye, and takes a second instead of three."""
_SIZES = (5.0, 22.0)
_NAME_LENGTH = 26
_NAMED_ITEMS = 40

_TITLE = "Map of the items"


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Items on a plane.

    Attributes:
        items: int (n,), indices, the most rated first.
        x, y: float (n,), only distances mean something.
    """

    items: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def place(vectors: NDArray[np.float32], item_ratings: NDArray[np.int32], seed: int) -> Placed | None:
    """Projects the most rated items by t-SNE (van der Maaten and Hinton 2008) on cosine, as FindSimilarItems does.

    Args:
        vectors: float32 (items, k), one embedding a row; items with a zero vector are left out.
        item_ratings: int (items,).
        seed: gives the same map again.

    Returns:
        ``MOST_ITEMS`` items or fewer; None where there are not ``FEWEST_ITEMS`` different directions.
    """
    from sklearn.manifold import TSNE  # takes a tenth of a second

    lengths = np.linalg.norm(vectors, axis=1)
    known = np.flatnonzero(lengths > 0)
    items = known[np.argsort(-item_ratings[known], kind="stable")][:MOST_ITEMS]
    directions = vectors[items] / lengths[items, np.newaxis]
    if len(np.unique(directions, axis=0)) < FEWEST_ITEMS:
        return None
    perplexity = min(_NEIGHBOURS, (len(items) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", max_iter=_ROUNDS, random_state=seed, n_jobs=1)
    # One thread: for so few points the threads wait for each other most of the time, and several add in any order.
    with threadpool_limits(1):
        plane = tsne.fit_transform(directions)
    x, y = _lying(plane.astype(np.float64))
    return Placed(items, x, y)


def _lying(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The plane turned so that it spreads along x: a screen is wider than high."""
    centred = plane - plane.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return centred @ axes[0], centred @ axes[1]


def picture(content: SnapshotContent, seed: int) -> Picture:
    """The map of the head that ranks: its item factors."""
    head = content.ranking or content.rating
    placed = None if head is None else place(head.item_factors, content.item_counts, seed)
    if placed is None:
        caption = "There are too few different items, or factors, for a map."
        return Picture(Part.ITEMS, _TITLE, caption, None)
    counts = content.item_counts[placed.items]
    # Data without ratings has no means; then the colour tells what the size does.
    what = "ratings" if content.item_means is None else "mean rating"
    shades = counts if content.item_means is None else content.item_means[placed.items]
    names = [_name(content, int(item)) for item in placed.items]
    low, high = _SIZES
    source = ColumnDataSource(
        {
            "x": placed.x,
            "y": placed.y,
            "name": names,
            "id": [content.item_ids[item] for item in placed.items],
            "count": counts,
            "shade": shades,
            "size": low + (high - low) * np.sqrt(counts / max(1, counts.max())),
        }
    )
    colours = LinearColorMapper(
        palette=Viridis256, low=float(np.percentile(shades, 3)), high=float(np.percentile(shades, 97))
    )
    drawn = new_figure("", "", height=720)
    drawn.axis.visible = False
    drawn.grid.visible = False
    points = drawn.scatter(
        "x",
        "y",
        size="size",
        source=source,
        fill_color={"field": "shade", "transform": colours},
        fill_alpha=0.8,
        line_color="white",
        line_width=0.5,
        hover_line_color=INK,
        hover_fill_alpha=1.0,
    )
    bar = ColorBar(color_mapper=colours, title=what, location=(0, 0), orientation="horizontal", height=8)
    drawn.add_layout(bar, "below")
    _write_names(drawn, placed, names)
    tooltips = [("", "@name"), ("id", "@id"), ("ratings", "@count{0,0}")]
    if content.item_means is not None:
        tooltips.append(("mean rating", "@shade{0.00}"))
    add_hover(drawn, [points], tooltips)
    return Picture(
        Part.ITEMS,
        _TITLE,
        f"The {len(names):,} most rated items by their embeddings in the "
        f"{'rating' if content.ranking is None else 'ranking'} head (t-SNE on cosine): neighbours are liked by the "
        "same people. Larger is more often rated. Point at one for its title, draw a box to look closer.",
        drawn,
        wide=True,
    )


def names_apart(placed: Placed, share: float) -> list[int]:
    """Positions of the most rated items whose names would not be written over each other.

    Args:
        placed: the map.
        share: the width of a name as a share of the map's; its height counts as a sixth of that.
    """
    width = share * np.ptp(placed.x)
    height = share / 6 * np.ptp(placed.y)
    chosen: list[int] = []
    for place in range(len(placed.items)):
        others = np.array(chosen, dtype=np.int64)
        near = np.abs(placed.x[others] - placed.x[place]) < width
        if not (near & (np.abs(placed.y[others] - placed.y[place]) < height)).any():
            chosen.append(place)
        if len(chosen) == _NAMED_ITEMS:
            break
    return chosen


def _write_names(drawn: Figure, placed: Placed, names: Sequence[str]) -> None:
    """Writes names beside their items, so that the picture can be read without a pointer."""
    chosen = names_apart(placed, share=0.2)
    source = ColumnDataSource(
        {
            "x": placed.x[chosen],
            "y": placed.y[chosen],
            "name": [shorten(names[place]) for place in chosen],
        }
    )
    drawn.text(
        "x",
        "y",
        "name",
        source=source,
        text_font_size="11px",
        text_color=INK,
        text_align="center",
        text_baseline="bottom",
        background_fill_color="white",
        background_fill_alpha=0.72,
        border_radius=4,
        padding=(2, 3),
        y_offset=-8,
    )


def shorten(name: str) -> str:
    """The first characters of a name that is too long to be written on the map."""
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1].rstrip() + "…"


def _name(content: SnapshotContent, item: int) -> str:
    title = "" if content.item_titles is None else content.item_titles[item]
    return title or content.item_ids[item]
