"""``mfserve train``: queue a training, and wait for it if asked. Its options are those of ``mfserve tune`` too."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from mfserve import (
    Als,
    AutoRating,
    Bayes,
    Ials,
    Index,
    Keras,
    KeyedHash,
    NoRanking,
    NoRating,
    NoSplit,
    PromotionGates,
    RandomSplit,
)
from mfserve._client.training_service import source
from mfserve.cli import _options as options
from mfserve.cli._following import queued, wait_for
from mfserve.cli._output import UsageError
from mfserve.cli._server import Server
from mfserve.cli._sharing import taking
from mfserve.types import FileDataset

_DATA = "Data"
_RATING = "Rating head"
_RANKING = "Ranking head"
_SPLIT = "Holdout"
_GATES = "Promotion gates"


class Engine(StrEnum):
    """Rating engines."""

    AUTO = "auto"
    BAYES = "bayes"
    ALS = "als"
    KERAS = "keras"
    NONE = "none"


class RankingEngine(StrEnum):
    """Ranking engines."""

    IALS = "ials"
    NONE = "none"


class Split(StrEnum):
    """How test ratings are held out."""

    KEYED_HASH = "keyed-hash"
    RANDOM = "random"
    NONE = "none"


class Format(StrEnum):
    """Formats of files."""

    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


class BadRows(StrEnum):
    """What happens to bad rows."""

    FAIL = "fail"
    SKIP = "skip"


class Duplicates(StrEnum):
    """What happens to duplicates."""

    FAIL = "fail"
    FIRST = "first"
    LAST = "last"
    MEAN = "mean"


def _option(*names: str, help: str, panel: str, show_default: bool | str = True) -> Any:  # noqa: A002 - typer's word
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=show_default)


def training_arguments(
    model: Annotated[str, typer.Argument(help="Name of the model; it need not exist yet.")],
    dataset: Annotated[
        str,
        typer.Argument(
            help="A built-in data set (see `mfserve datasets`), or a file under the server's --data-roots: its full "
            "path, or one that begins at a data root."
        ),
    ],
    *,
    promote_to: Annotated[
        str | None, typer.Option(help="Alias to move to the new version, if its gates let it through.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(help="Makes the command safe to repeat: same id, same job.", show_default="a new one"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the training.", show_default="0")] = None,
    no_refit: Annotated[
        bool, typer.Option("--no-refit", help="Serve what was measured, without a second fit on all ratings.")
    ] = False,
    file_format: Annotated[
        Format | None,
        _option("--format", help="Format of the file.", show_default="by the name's ending", panel=_DATA),
    ] = None,
    user_column: Annotated[
        str | None, _option(help="Column of the user ids.", show_default="user_id", panel=_DATA)
    ] = None,
    item_column: Annotated[
        str | None, _option(help="Column of the item ids.", show_default="item_id", panel=_DATA)
    ] = None,
    rating_column: Annotated[
        str | None, _option(help="Column of the ratings.", show_default="rating", panel=_DATA)
    ] = None,
    timestamp_column: Annotated[
        str | None, _option(help="Column of the times, in seconds since the epoch.", panel=_DATA)
    ] = None,
    title_column: Annotated[str | None, _option(help="Column of the items' titles.", panel=_DATA)] = None,
    implicit: Annotated[
        bool, _option("--implicit", help="There are no ratings, or they are not to be read.", panel=_DATA)
    ] = False,
    bad_rows: Annotated[
        BadRows | None, _option(help="What happens to a bad row.", show_default="fail", panel=_DATA)
    ] = None,
    duplicates: Annotated[
        Duplicates | None,
        _option(help="Which of several ratings of one pair counts.", show_default="last", panel=_DATA),
    ] = None,
    scale: Annotated[
        str | None,
        _option(help="LOWEST:HIGHEST rating, such as 0.5:5.", show_default="as found", panel=_DATA),
    ] = None,
    engine: Annotated[Engine, _option(help="Engine of the rating head.", panel=_RATING)] = Engine.AUTO,
    factors: Annotated[
        int | None, _option(help="bayes, als, keras: length of an embedding.", panel=_RATING)
    ] = None,
    burn_in: Annotated[
        int | None, _option(help="bayes: sweeps before the first sample.", panel=_RATING)
    ] = None,
    samples: Annotated[int | None, _option(help="bayes: sweeps after them.", panel=_RATING)] = None,
    served_factors: Annotated[
        int | None, _option(help="bayes: length of a served embedding.", panel=_RATING)
    ] = None,
    interaction_features: Annotated[
        int | None, _option(help="bayes: features of who rated what; 0: none.", panel=_RATING)
    ] = None,
    regularization: Annotated[float | None, _option(help="als: penalty per rating.", panel=_RATING)] = None,
    iterations: Annotated[int | None, _option(help="als: sweeps.", panel=_RATING)] = None,
    epochs: Annotated[int | None, _option(help="keras: passes.", show_default="10", panel=_RATING)] = None,
    batch_size: Annotated[
        int | None, _option(help="keras: ratings per step.", show_default="32", panel=_RATING)
    ] = None,
    learning_rate: Annotated[
        float | None, _option(help="keras: Adam's learning rate.", show_default="0.001", panel=_RATING)
    ] = None,
    biases: Annotated[bool | None, _option("--biases", help="keras: add biases.", panel=_RATING)] = None,
    l2: Annotated[float | None, _option(help="keras: penalty.", show_default="0", panel=_RATING)] = None,
    non_negative: Annotated[
        bool | None, _option("--non-negative", help="keras: keep embeddings non-negative.", panel=_RATING)
    ] = None,
    early_stopping: Annotated[
        int | None, _option(help="keras: stop after so many epochs without gain.", panel=_RATING)
    ] = None,
    validation_fraction: Annotated[
        float | None, _option(help="keras: share kept for early stopping.", show_default="0.1", panel=_RATING)
    ] = None,
    ranking: Annotated[
        RankingEngine, _option(help="Engine of the ranking head.", panel=_RANKING)
    ] = RankingEngine.IALS,
    ranking_factors: Annotated[int | None, _option(help="Length of an embedding.", panel=_RANKING)] = None,
    ranking_iterations: Annotated[int | None, _option(help="Sweeps.", panel=_RANKING)] = None,
    ranking_regularization: Annotated[
        float | None, _option(help="Penalty of an average row.", panel=_RANKING)
    ] = None,
    unobserved_weight: Annotated[
        float | None, _option(help="Weight of pairs that nobody rated.", panel=_RANKING)
    ] = None,
    frequency_exponent: Annotated[
        float | None, _option(help="How the penalty grows with frequency.", panel=_RANKING)
    ] = None,
    index_recall: Annotated[
        float | None,
        _option(
            help="Search items by an approximate index that finds this share of the exact best ten.",
            show_default="search exactly",
            panel=_RANKING,
        ),
    ] = None,
    index_clusters: Annotated[
        int | None,
        _option(help="Clusters of the index.", show_default="by the number of items", panel=_RANKING),
    ] = None,
    split: Annotated[Split, _option(help="What is held out to measure on.", panel=_SPLIT)] = Split.KEYED_HASH,
    holdout: Annotated[
        float | None, _option(help="Share held out.", show_default="0.2", panel=_SPLIT)
    ] = None,
    split_seed: Annotated[
        int | None, _option(help="random: its seed.", show_default="0", panel=_SPLIT)
    ] = None,
    split_key: Annotated[
        str | None, _option(help="keyed-hash: its key.", show_default="mfserve", panel=_SPLIT)
    ] = None,
    no_gates: Annotated[
        bool, _option("--no-gates", help="Move the alias whatever was trained.", panel=_GATES)
    ] = False,
    max_rmse_increase: Annotated[
        float | None,
        _option(
            help="How much higher than the incumbent's the RMSE may be, as a share of it.",
            show_default="0.02",
            panel=_GATES,
        ),
    ] = None,
    max_ndcg_decrease: Annotated[
        float | None,
        _option(help="How much lower nDCG@10 may be, likewise.", show_default="0.05", panel=_GATES),
    ] = None,
    max_norm_factor: Annotated[
        float | None,
        _option(help="By which factor a head's norm may differ.", show_default="3", panel=_GATES),
    ] = None,
    min_vocabulary_share: Annotated[
        float | None,
        _option(
            help="Share of the incumbent's users and items that there must be.",
            show_default="0.8",
            panel=_GATES,
        ),
    ] = None,
    min_overlap: Annotated[
        float | None,
        _option(
            help="Share of the incumbent's ten best items that must be among the new ten.",
            show_default="0: only reported",
            panel=_GATES,
        ),
    ] = None,
) -> dict[str, Any]:
    """What commands that train have in common: their options, as arguments of ``Client.train``."""
    if request_id == "":
        raise UsageError("--request-id is empty: the command would not be safe to repeat")
    if validation_fraction is not None and early_stopping is None:
        raise UsageError("--validation-fraction goes with --early-stopping")
    columns: dict[str, Any] = {
        "user_column": user_column,
        "item_column": item_column,
        "rating_column": rating_column,
        "timestamp_column": timestamp_column,
        "title_column": title_column,
    }
    ratings = source(dataset, {}) if file_format is None else FileDataset(dataset, file_format.value)
    if isinstance(ratings, FileDataset):
        ratings = replace(ratings, **columns)
    elif any(columns.values()):
        raise UsageError(
            f"the columns of a built-in data set such as {dataset} are known: name those of files only"
        )
    if implicit and (rating_column is not None or scale is not None):
        raise UsageError("--implicit reads no ratings: leave out --rating-column and --scale")
    if index_clusters is not None and index_recall is None:
        raise UsageError("--index-clusters goes with --index-recall")
    bounds = {
        "max_rmse_increase": max_rmse_increase,
        "max_ndcg_decrease": max_ndcg_decrease,
        "max_norm_factor": max_norm_factor,
        "min_vocabulary_share": min_vocabulary_share,
        "min_overlap": min_overlap,
    }
    if no_gates and any(bound is not None for bound in bounds.values()):
        raise UsageError("--no-gates compares nothing: leave out the bounds")
    bayes = {
        "factors": factors,
        "burn_in": burn_in,
        "samples": samples,
        "served_factors": served_factors,
        "interaction_features": interaction_features,
    }
    als = {"factors": factors, "regularization": regularization, "iterations": iterations}
    keras = {
        "factors": factors,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "biases": biases or None,
        "l2": l2,
        "non_negative": non_negative or None,
        "early_stopping_patience": early_stopping,
        "validation_fraction": validation_fraction,
    }
    ials = {
        "factors": ranking_factors,
        "iterations": ranking_iterations,
        "regularization": ranking_regularization,
        "unobserved_weight": unobserved_weight,
        "frequency_exponent": frequency_exponent,
    }
    return {
        "model": model,
        "dataset": ratings,
        "implicit": implicit,
        "bad_rows": None if bad_rows is None else bad_rows.value,
        "duplicates": None if duplicates is None else duplicates.value,
        "scale": None if scale is None else _scale(scale),
        "rating": _rating(engine, bayes, als, keras),
        "ranking": _ranking(ranking, ials),
        "index": None if index_recall is None else Index(recall=index_recall, clusters=index_clusters),
        "split": _split(split, holdout, split_seed, split_key),
        "refit": False if no_refit else None,
        "seed": seed,
        "promote_to_alias": promote_to,
        "gates": PromotionGates(off=no_gates, **bounds),
        "request_id": request_id,
    }


@taking(training_arguments)
def train(
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the training to its end.")] = False,
    server: Server,
    json: options.Json = False,
    **arguments: Any,
) -> None:
    """Train a new version of a model.

    Prints the job's id at once, or with --wait the version that it has published. Interrupting --wait leaves the
    training running: `mfserve jobs JOB --wait` goes on watching, `mfserve jobs JOB --cancel` ends it.
    """
    with server.client() as client:
        job = client.train(**arguments)
        if wait:
            wait_for(client, job, json=json)
        else:
            queued(job, json=json)


def _rating(
    engine: Engine, bayes: dict[str, Any], als: dict[str, Any], keras: dict[str, Any]
) -> AutoRating | Bayes | Als | Keras | NoRating:
    takes: dict[Engine, tuple[type[Any], dict[str, Any]]] = {
        Engine.AUTO: (AutoRating, {}),
        Engine.BAYES: (Bayes, bayes),
        Engine.ALS: (Als, als),
        Engine.KERAS: (Keras, keras),
        Engine.NONE: (NoRating, {}),
    }
    kind, own = takes[engine]
    others = {name: value for name, value in {**bayes, **als, **keras}.items() if name not in own}
    chosen: AutoRating | Bayes | Als | Keras | NoRating = kind(**_only(own, others, f"--engine {engine}"))
    return chosen


def _ranking(engine: RankingEngine, ials: dict[str, Any]) -> Ials | NoRanking:
    if engine is RankingEngine.NONE:
        return NoRanking(**_only({}, ials, "--ranking none"))
    return Ials(**ials)


def _split(
    split: Split, fraction: float | None, seed: int | None, key: str | None
) -> KeyedHash | RandomSplit | NoSplit:
    given = {"fraction": fraction, "seed": seed, "key": key}
    takes: dict[Split, tuple[type[Any], set[str]]] = {
        Split.KEYED_HASH: (KeyedHash, {"fraction", "key"}),
        Split.RANDOM: (RandomSplit, {"fraction", "seed"}),
        Split.NONE: (NoSplit, set()),
    }
    kind, names = takes[split]
    own = {name: value for name, value in given.items() if name in names}
    others = {f"split {name}": value for name, value in given.items() if name not in names}
    chosen: KeyedHash | RandomSplit | NoSplit = kind(**_only(own, others, f"--split {split}"))
    return chosen


def _only(own: dict[str, Any], others: dict[str, Any], choice: str) -> dict[str, Any]:
    """The options that belong to a choice; an option of another choice would be ignored, so it is refused."""
    wrong = [name.replace("_", " ") for name, value in others.items() if value is not None]
    if wrong:
        raise UsageError(
            f"{choice} has no {' or '.join(wrong)}: choose the engine or split that they belong to"
        )
    return own


def _scale(text: str) -> tuple[float, float]:
    lowest, separator, highest = text.partition(":")
    try:
        if separator:
            return float(lowest), float(highest)
    except ValueError:
        pass
    raise UsageError(f"--scale {text}: expected LOWEST:HIGHEST, such as 0.5:5")
