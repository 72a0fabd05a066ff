"""All pictures of a version. A defect in one costs its part of the page, never the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer.engines.base import Epoch
from mfserve_trainer.report import activity, calibration, curves, deviation, item_map, popularity
from mfserve_trainer.report.guard import guarded
from mfserve_trainer.report.holdout import Holdout, predicted, recommended
from mfserve_trainer.report.picture import Part, Picture


def draw(
    served: SnapshotContent, epochs: Mapping[str, Sequence[Epoch]], holdout: Holdout | None, seed: int
) -> list[Picture]:
    """Draws everything that can be drawn.

    Args:
        served: what is served.
        epochs: of the fit that is served, by head: "Rating head", "Ranking head".
        holdout: the fit that was measured, and on what; None where nothing was held out.
        seed: of the samples and of the map.
    """
    parts: dict[Part, Callable[[], list[Picture]]] = {
        Part.ITEMS: lambda: [item_map.picture(served, seed)],
        Part.TRAINING: lambda: [curves.picture(head, passed) for head, passed in epochs.items()],
    }
    if holdout is not None:
        parts[Part.RECOMMENDATIONS] = lambda: _recommendations(holdout, seed)
        if holdout.snapshot.rating is not None:
            parts[Part.RATINGS] = lambda: _ratings(holdout)
    return [
        picture for part in Part if part in parts for picture in guarded(part, parts[part], _missing(part))
    ]


def _ratings(holdout: Holdout) -> list[Picture]:
    rows, note = predicted(holdout), holdout.note()
    scale, mean = holdout.snapshot.scale, holdout.snapshot.mean_rating
    if scale is None or mean is None:
        raise ValueError("a snapshot with a rating head has a scale and a mean")
    pictures = [
        activity.by_user(rows, mean, note),
        activity.by_item(rows, mean, note),
        calibration.picture(rows, scale, note),
    ]
    if rows.deviation is not None and rows.deviation.any():
        told = rows.deviation > 0
        pictures.append(
            deviation.picture(rows.predicted[told], rows.deviation[told], rows.actual[told], note)
        )
    return pictures


def _recommendations(holdout: Holdout, seed: int) -> list[Picture]:
    lists = recommended(holdout, seed)
    return [popularity.popularity_picture(lists), popularity.coverage_picture(lists)]


def _missing(part: Part) -> list[Picture]:
    return [Picture(part, "Missing", "This part could not be drawn; the trainer's log says why.", None)]
