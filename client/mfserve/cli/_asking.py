"""``mfserve recommend | predict | similar``: ask a model."""

from __future__ import annotations

from typing import Annotated

import typer

from mfserve.cli import _options as options
from mfserve.cli._output import UsageError, as_json, line, plain, table
from mfserve.cli._server import Server
from mfserve.types import ServedVersion

Model = Annotated[str, typer.Argument(help="Name of the model.")]


def recommend(
    model: Model,
    user: Annotated[str | None, typer.Argument(help="Id of the user; leave out with --history.")] = None,
    *,
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="ITEM=RATING of a user whom the model never saw; repeat for each item. ITEM alone where the model was "
            "trained on data without ratings."
        ),
    ] = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    exclude: Annotated[list[str] | None, typer.Option(help="Item that must not come back; repeat.")] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items already rated.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Search exactly, not by the version's approximate index.")
    ] = False,
    ranking_head: Annotated[
        options.HeadName | None,
        typer.Option(help="Head to rank by.", show_default="ranking, or rating where there is no other"),
    ] = None,
    version: options.Version = None,
    alias: options.Alias = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """List the best items for a user."""
    if (user is None) == (not history):
        raise UsageError("say whom to recommend to: either USER or --history ITEM=RATING")
    with server.client() as client:
        found = client.recommend(
            model,
            user,
            history=[_rated(text) for text in history] if history else None,
            limit=limit,
            exclude_item_ids=exclude or (),
            include_seen=include_seen,
            exact=exact,
            ranking_head=None if ranking_head is None else ranking_head.value,
            **options.choice(version, alias),
        )
    if json:
        as_json(found)
        return
    whom = f"user {user}" if user is not None else f"a history of {len(history or ())}"
    table(
        f"Recommendations for {whom}",
        ("rank#", "item", "title", "score#", "predicted rating#"),
        (
            (
                place,
                item.item_id,
                item.title,
                item.score,
                "-" if item.predicted_rating is None else f"{item.predicted_rating:.2f}",
            )
            for place, item in enumerate(found, start=1)
        ),
    )
    if not found.items:
        line("Nothing is left to recommend: the user has rated every item. --include-seen lists those too.")
    head = f", ranked by the {found.ranking_head.value.lower()} head" if found.ranking_head else ""
    searched = "" if found.recall is None else f" through an index of recall {found.recall:.3f}"
    line(f"basis {found.basis.value}{head}{searched}; {_by(found.served_version)}")


def predict(
    model: Model,
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    item: Annotated[str, typer.Argument(help="Id of the item.")],
    *,
    version: options.Version = None,
    alias: options.Alias = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Predict the rating that a user would give to an item."""
    with server.client() as client:
        prediction = client.predict_rating(model, user, item, **options.choice(version, alias))
    if json:
        as_json(prediction)
        return
    spread = "" if prediction.stddev is None else f" ± {prediction.stddev:.2f}"
    line(
        f"User {plain(user)} would rate item {plain(item)} [bold]{prediction.rating:.2f}[/]{spread} "
        f"(basis {prediction.basis.value}; {_by(prediction.served_version)})"
    )


def similar(
    model: Model,
    item: Annotated[str, typer.Argument(help="Id of the item.")],
    *,
    limit: options.Limit = options.DEFAULT_LIMIT,
    version: options.Version = None,
    alias: options.Alias = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """List the items most like an item."""
    with server.client() as client:
        found = client.similar_items(model, item, limit=limit, **options.choice(version, alias))
    if json:
        as_json(found)
        return
    table(
        f"Items like {found.title or item}",
        ("rank#", "item", "title", "similarity#"),
        ((place, one.item_id, one.title, one.similarity) for place, one in enumerate(found, start=1)),
    )
    line(_by(found.served_version))


def _rated(text: str) -> tuple[str, float] | str:
    item, separator, rating = text.rpartition("=")
    if not separator:
        return text
    try:
        if item:
            return item, float(rating)
    except ValueError:
        pass
    raise UsageError(f"--history {text}: expected ITEM=RATING, such as 50=5, or ITEM alone")


def _by(served: ServedVersion) -> str:
    return f"answered by {plain(served.model)} version {served.version} ({served.digest[:12]})"
