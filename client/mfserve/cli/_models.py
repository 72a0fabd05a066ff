"""``mfserve models | versions``: what the registry holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mfserve._types.spec import ENGINES
from mfserve.cli import _options as options
from mfserve.cli._aliases import alias_table, named
from mfserve.cli._output import STDOUT, UsageError, as_json, line, plain, size, table, when, write_file
from mfserve.cli._promotion import show_gates
from mfserve.cli._server import Server
from mfserve.cli._tables import NOT_MEASURED, ranking_table, rating_table
from mfserve.types import (
    ModelVersion,
    NoRanking,
    NoRating,
    Ranker,
    RatingPredictor,
)

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]


def models(
    model: Annotated[str | None, typer.Argument(help="Show one model and its aliases.")] = None,
    *,
    server: Server,
    json: options.Json = False,
) -> None:
    """List the models, or show one."""
    with server.client() as client:
        if model is not None:
            found = client.get_model(model)
            if json:
                as_json(found)
            else:
                line(f"[bold]{plain(found.model)}[/], latest version {found.latest_version}")
                alias_table(found)
            return
        everything = list(client.list_models())
    if json:
        as_json(everything)
        return
    table(
        "Models",
        ("model", "latest version#", "aliases", "created"),
        (
            (
                one.model,
                one.latest_version,
                ", ".join(f"{alias.alias} → {named(alias)}" for alias in one.aliases),
                one.create_time,
            )
            for one in everything
        ),
    )


def versions(
    model: ModelArgument,
    version: Annotated[
        str | None,
        typer.Argument(
            help="A version number, an alias, or latest: show it. With --artifact default production."
        ),
    ] = None,
    *,
    artifact: Annotated[str | None, typer.Option(help="Fetch this file of the version.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to put the file; - for standard output.",
            show_default="its name",
            readable=False,
        ),
    ] = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """List a model's versions; show one with its metrics; fetch a file of one."""
    if artifact is None and output is not None:
        raise UsageError("--output goes with --artifact")
    if output == STDOUT and json:
        raise UsageError("--output - writes the file alone: leave out --json")
    chosen = options.version_or_alias(version)
    with server.client() as client:
        if artifact is not None:
            stored = client.get_artifact(model, artifact, **chosen)
            written = write_file(output or Path(Path(artifact).name), stored.data)
            if json:
                as_json({"path": str(written), "artifact": stored.artifact})
            elif written != STDOUT:
                line(f"{plain(artifact)} written to {plain(written)} ({size(len(stored.data))})")
            return
        if version is not None:
            found = client.get_version(model, **chosen)
            if json:
                as_json(found)
            else:
                show_version(found)
            return
        everything = list(client.list_versions(model))
    if json:
        as_json(everything)
        return
    table(
        f"Versions of {model}",
        ("version#", "aliases", "engines", "data set", "MSE#", "nDCG@10#", "published"),
        (
            (
                one.version,
                ", ".join(one.aliases),
                ", ".join(filter(None, (engines(one), indexed(one)))),
                one.dataset.name,
                _mse(one),
                _ndcg(one),
                one.create_time,
            )
            for one in everything
        ),
    )
    if any(NOT_MEASURED in (_mse(one), _ndcg(one)) for one in everything):
        line(f"{NOT_MEASURED} not measured: nothing was held out, or no ratings are predicted")


def show_version(version: ModelVersion) -> None:
    """Prints one version with its data, metrics and files."""
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    line(f"[bold]{plain(version.model)} version {version.version}[/]{plain(aliases)}, {version.digest}")
    what = "rows without ratings" if version.dataset.scale is None else "ratings"
    line(
        f"trained by {engines(version)} on {plain(version.dataset.name)}: {version.dataset.ratings:,} {what}, "
        f"{version.dataset.users:,} users, {version.dataset.items:,} items; {size(version.size_bytes)}"
    )
    if version.index is not None:
        line(f"items are searched through a {plain(indexed(version))}, or exactly with --exact")
    if version.dataset.first_rating_time is not None and version.dataset.last_rating_time is not None:
        line(
            f"rated from {when(version.dataset.first_rating_time)} to {when(version.dataset.last_rating_time)}"
        )
    for reason, rows in version.dataset.skipped.items():
        line(f"left out {rows:,} rows: {plain(reason)}")
    if version.evaluation is None:
        line("nothing was held out, so nothing was measured")
    else:
        if version.evaluation.rating:
            rating_table(version.evaluation)
        ranking_table(version.evaluation)
    if version.gates is not None:
        show_gates(version.gates)
    if version.artifacts:
        table(
            "Files",
            ("name", "type", "size#"),
            ((one.name, one.media_type, size(one.size_bytes)) for one in version.artifacts),
        )


def engines(version: ModelVersion) -> str:
    """Names of a version's engines, the rating head's first."""
    return "+".join(
        ENGINES[type(engine)]
        for engine in (version.spec.rating, version.spec.ranking)
        if engine is not None and not isinstance(engine, NoRating | NoRanking)
    )


def indexed(version: ModelVersion) -> str:
    """What a version's items are searched by, with its recall; empty where they are searched exactly."""
    return "" if version.index is None else f"{version.index.kind} index of recall {version.index.recall:.3f}"


def _mse(version: ModelVersion) -> float | str:
    """Of its predictions."""
    found = {one.predictor: one.mse for one in version.evaluation.rating} if version.evaluation else {}
    return found.get(RatingPredictor.RATING_HEAD, NOT_MEASURED)


def _ndcg(version: ModelVersion) -> float | str:
    """Of what it recommends, which is by the rating head where there is no ranking head."""
    found = {one.ranker: one.ndcg_at_10 for one in version.evaluation.ranking} if version.evaluation else {}
    return found.get(Ranker.RANKING_HEAD, found.get(Ranker.RATING_HEAD, NOT_MEASURED))
