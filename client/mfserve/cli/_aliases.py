"""``mfserve alias | rollback | alias-history``: what callers get, and what they got."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from mfserve import Client
from mfserve.cli import _options as options
from mfserve.cli._followed import tell_unless_followed
from mfserve.cli._output import UsageError, as_json, line, plain, say, table, when
from mfserve.cli._server import Server
from mfserve.types import Alias, AliasEvent, AliasState, Model

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
AliasArgument = Annotated[str, typer.Argument(help="Name of the alias.")]
ExpectedRevision = Annotated[
    int | None,
    typer.Option(min=0, help="Refuse unless the alias has this revision.", show_default="the one it has now"),
]
AnyRevision = Annotated[
    int | None,
    typer.Option(
        min=0, help="Refuse unless the alias has this revision.", show_default="any revision will do"
    ),
]
Reason = Annotated[str | None, typer.Option(help="Why, for the alias's history.")]
Actor = Annotated[
    str | None,
    typer.Option(envvar="MFSERVE_ACTOR", help="Who, for the alias's history.", show_default="USER@HOST"),
]

_MAX_WEIGHT = 1_000_000
_LONGEST = 100
"""Characters of a part of a split that may be one: Python reads no number of thousands of digits."""


def alias(
    model: ModelArgument,
    alias: Annotated[str | None, typer.Argument(help="Alias to set; leave out to list them.")] = None,
    version: Annotated[int | None, typer.Argument(min=1, help="Version that it is to name.")] = None,
    *,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="VERSION=WEIGHT in place of VERSION, once for each of several that are to share the users."
        ),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            help="VERSION=SHARE: a further version, to be asked beside them for this share of the users, whom it does "
            "not answer."
        ),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the alias away; its history stays.")] = False,
    expected_revision: ExpectedRevision = None,
    reason: Reason = None,
    actor: Actor = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """List a model's aliases, point one to a version or several, or delete one."""
    if alias is None:
        if split or shadow or delete or expected_revision is not None or reason is not None:
            raise UsageError(
                "--split, --shadow, --delete, --expected-revision and --reason go with a change: "
                "mfserve alias MODEL ALIAS VERSION"
            )
        _list_aliases(model, server, json=json)
        return
    _check_change(version, split, shadow, delete=delete)
    weights = _weights(split) if split else None
    beside = _beside(shadow) if shadow else None
    with server.client(actor=actor) as client:
        revision = _revision(client, model, alias) if expected_revision is None else expected_revision
        why: dict[str, Any] = {"expected_revision": revision, "reason": reason or ""}
        if not delete:
            changed = client.set_alias(model, alias, version, targets=weights, shadow=beside, **why)
            show_change(client, model, changed, json=json)
            return
        client.delete_alias(model, alias, **why)
    if json:
        as_json({"model": model, "alias": alias, "deleted": True})
    else:
        line(f"{plain(alias)} deleted")


def rollback(
    model: ModelArgument,
    alias: AliasArgument = "production",
    *,
    expected_revision: AnyRevision = None,
    reason: Reason = None,
    actor: Actor = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Point an alias to what it named before; again, to what it named before that."""
    with server.client(actor=actor) as client:
        changed = client.rollback_alias(
            model, alias, expected_revision=expected_revision, reason=reason or ""
        )
        show_change(client, model, changed, json=json)


def alias_history(
    model: ModelArgument,
    alias: AliasArgument = "production",
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Show only what the alias named at this time, such as 2026-05-01T12:00; without a time zone, yours.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of changes wanted.")] = 20,
    server: Server,
    json: options.Json = False,
) -> None:
    """Show who changed an alias when, from what to what and why, the newest first."""
    moment = None if at is None else _time(at)
    with server.client() as client:
        if moment is not None:
            found = client.alias_at(model, alias, moment)
            if json:
                as_json(found)
                return
            if moment > datetime.now(UTC):
                say(f"{when(moment)} is yet to come: this is what holds now.")
            if found is None:
                line(f"At {when(moment)} {plain(model)} had no alias {plain(alias)}.")
            else:
                _history(f"{model} {alias} at {when(moment)}", [found])
            return
        events = list(islice(client.list_alias_events(model, alias), limit))
    if json:
        as_json(events)
    else:
        _history(f"History of {model} {alias}", events)


def named(state: Alias | AliasState) -> str:
    """What an alias names, in one line."""
    total = sum(target.weight for target in state.targets)
    parts = [f"{target.version} ({_percent(target.weight / total)} of the users)" for target in state.targets]
    if len(parts) == 1:
        parts = [str(state.targets[0].version)]
    if state.shadow is not None:
        parts.append(f"shadow {state.shadow.version} ({_percent(state.shadow.share)} of the users)")
    return " + ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def alias_table(model: Model) -> None:
    """Prints a model's aliases."""
    table(
        f"Aliases of {model.model}",
        ("alias", "version", "revision#", "changed"),
        ((one.alias, named(one), one.revision, one.update_time) for one in model.aliases),
    )


def _list_aliases(model: str, server: Server, *, json: bool) -> None:
    with server.client() as client:
        found = client.get_model(model)
    if json:
        as_json(found.aliases)
    else:
        alias_table(found)


def show_change(client: Client, model: str, changed: Alias, *, json: bool) -> None:
    """Prints an alias that was changed, and tells of servers that do not follow it."""
    if json:
        as_json(changed)
    else:
        line(f"{plain(changed.alias)} → version {named(changed)} (revision {changed.revision})")
    tell_unless_followed(client, model, changed)


def _history(title: str, events: list[AliasEvent]) -> None:
    table(
        title,
        ("revision#", "when", "action", "from", "to", "by", "reason"),
        (
            (one.revision, one.time, _action(one), named(one.before), named(one.after), one.actor, one.reason)
            for one in events
        ),
    )


def _action(event: AliasEvent) -> str:
    back = "" if event.restored_revision is None else f" to revision {event.restored_revision}"
    return event.action.value + back


def _check_change(version: int | None, split: list[str] | None, shadow: str | None, *, delete: bool) -> None:
    """UsageError unless it is one change, and a whole one."""
    if delete:
        if version is not None or split or shadow:
            raise UsageError("--delete takes the alias away: leave out VERSION, --split and --shadow")
    elif version is not None and split:
        raise UsageError("--split names all versions that share the users: leave out VERSION")
    elif version is None and not split:
        if shadow:
            raise UsageError(
                "--shadow goes beside the versions that answer: give VERSION or --split too, those of now if they stay"
            )
        raise UsageError(
            "to point an alias to a version give both: mfserve alias MODEL ALIAS VERSION; or else --split or --delete"
        )


def _revision(client: Client, model: str, alias: str) -> int:
    return next((one.revision for one in client.get_model(model).aliases if one.alias == alias), 0)


def _weights(split: list[str]) -> dict[int, int]:
    weights: dict[int, int] = {}
    for text in split:
        version, _, weight = text.partition("=")
        if not (version.isdecimal() and weight.isdecimal() and len(text) < _LONGEST):
            raise UsageError(f"--split {text}: expected VERSION=WEIGHT, such as 3=90")
        if int(version) in weights:
            raise UsageError(f"--split {text}: version {int(version)} is named twice")
        if not 1 <= int(weight) <= _MAX_WEIGHT:
            raise UsageError(f"--split {text}: a weight is 1 to {_MAX_WEIGHT:,}")
        weights[int(version)] = int(weight)
    return weights


def _beside(shadow: str) -> tuple[int, float]:
    version, _, share = shadow.partition("=")
    try:
        return int(version), float(share)
    except ValueError as error:
        raise UsageError(f"--shadow {shadow}: expected VERSION=SHARE, such as 4=0.1") from error


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"--at {text}: expected a time such as 2026-05-01T12:00") from error
