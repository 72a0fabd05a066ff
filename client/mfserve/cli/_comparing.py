"""``mfserve compare``: how two versions differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from mfserve import Client
from mfserve.cli import _options as options
from mfserve.cli._output import UsageError, as_json, line, table
from mfserve.cli._tables import PREDICTORS, RANKERS
from mfserve.types import AnswerComparison, ModelVersion, VersionComparison

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
    address: options.Address = options.DEFAULT_ADDRESS,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    json: options.Json = False,
) -> None:
    """Compare two versions: their metrics, what shadowing has found, and what both recommend to some users."""
    with options.connect(address, timeout) as client:
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
    """Rows of what was measured of both."""
    if ours.evaluation is None or theirs.evaluation is None:
        return
    errors = {one.predictor: one for one in theirs.evaluation.rating}
    for error in ours.evaluation.rating:
        if error.predictor in errors:
            what = PREDICTORS.get(error.predictor, error.predictor.value)
            yield from _differences(what, _ERRORS, error, errors[error.predictor])
    qualities = {one.ranker: one for one in theirs.evaluation.ranking}
    for quality in ours.evaluation.ranking:
        if quality.ranker in qualities:
            what = RANKERS.get(quality.ranker, quality.ranker.value)
            yield from _differences(what, _QUALITIES, quality, qualities[quality.ranker])


def _differences(
    what: str, measures: Mapping[str, str], ours: object, theirs: object
) -> Iterator[tuple[object, ...]]:
    for field, name in measures.items():
        value, other = getattr(ours, field), getattr(theirs, field)
        yield what, name, value, other, f"{other - value:+.4f}"


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
