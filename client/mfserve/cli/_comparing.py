"""``mfserve compare``: how two versions differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, TypeVar

import typer

from mfserve import Client
from mfserve.cli import _options as options
from mfserve.cli._output import UsageError, as_json, line, table
from mfserve.cli._server import Server
from mfserve.cli._tables import NOT_MEASURED, PREDICTORS, RANKERS
from mfserve.types import AnswerComparison, ModelVersion, VersionComparison

Measured = TypeVar("Measured", bound=Enum)

_ERRORS = {"rmse": "RMSE", "mae": "MAE"}
_QUALITIES = {"ndcg_at_10": "nDCG@10", "recall_at_20": "Recall@20", "coverage_at_10": "coverage@10"}


def compare(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[str, typer.Argument(help="A version number, an alias, or latest.")],
    other_version: Annotated[str, typer.Argument(help="The same of another version.")],
    *,
    sample: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Number of users to recommend items to by both; 0 for none."),
    ] = 200,
    server: Server,
    json: options.Json = False,
) -> None:
    """Compare two versions: their metrics, what shadowing has found, and what both recommend to some users."""
    with server.client() as client:
        ours, theirs = (_number(client, model, text) for text in (version, other_version))
        if ours == theirs:
            names = version if version == other_version else f"{version} and {other_version}"
            raise UsageError(f"{names}: version {ours} cannot be compared with itself")
        found = client.compare_versions(model, ours, theirs, sample_size=sample)
    if json:
        as_json(found)
    else:
        _show(found)


def _number(client: Client, model: str, text: str) -> int:
    """That of the version, which an alias may name."""
    chosen = options.version_or_alias(text)
    return chosen["version"] or client.get_version(model, **chosen).version


def _show(found: VersionComparison) -> None:
    ours, theirs = found.version, found.other_version
    heads = (f"version {ours.version}#", f"version {theirs.version}#")
    table(
        f"{ours.model}: version {theirs.version} beside version {ours.version}, as their holdout fits were measured",
        ("of", "measure", *heads, "difference#"),
        _metrics(ours, theirs),
    )
    if (ours.dataset.fingerprint, ours.spec.split) != (theirs.dataset.fingerprint, theirs.spec.split):
        line("They were trained on different ratings or splits: what was held out is not the same.")
    if found.sample is not None:
        _answers("Ten items for each of the sampled users", found.sample)
    if found.shadow is None:
        line("Neither has been a shadow beside the other.")
    else:
        _answers("What shadowing has found", found.shadow.answers)
        line(f"{found.shadow.dropped:,} calls were dropped, {found.shadow.failed:,} failed.")


def _metrics(ours: ModelVersion, theirs: ModelVersion) -> Iterator[tuple[object, ...]]:
    """Rows of what was measured of either."""
    evaluations = (ours.evaluation, theirs.evaluation)
    yield from _differences(
        PREDICTORS,
        _ERRORS,
        *({one.predictor: one for one in found.rating} if found else {} for found in evaluations),
    )
    yield from _differences(
        RANKERS,
        _QUALITIES,
        *({one.ranker: one for one in found.ranking} if found else {} for found in evaluations),
    )


def _differences(
    names: Mapping[Measured, str],
    measures: Mapping[str, str],
    ours: Mapping[Measured, object],
    theirs: Mapping[Measured, object],
) -> Iterator[tuple[object, ...]]:
    for what in dict.fromkeys([*ours, *theirs]):
        for field, measure in measures.items():
            values = [getattr(side.get(what), field, None) for side in (ours, theirs)]
            value, other = values
            difference = NOT_MEASURED if value is None or other is None else f"{other - value:+.4f}"
            shown = (NOT_MEASURED if one is None else one for one in values)
            yield names.get(what, what.value), measure, *shown, difference


def _answers(title: str, found: AnswerComparison) -> None:
    rows = (
        ("items in both lists, as a share", found.overlap, 1),
        ("rank correlation of these (Kendall's tau-b)", found.rank_correlation, 1),
        ("score of these, the other's less the first's", found.score_shift, 1),
        ("ms that the first took", found.seconds, 1000),
        ("ms that the other took", found.other_seconds, 1000),
        ("ms that the other took more", found.added_seconds, 1000),
    )
    table(
        title,
        ("what", "mean#", "standard deviation#", "questions#"),
        (
            (what, factor * one.mean, factor * one.stddev, f"{one.count:,}")
            for what, one, factor in rows
            if one is not None
        ),
    )
