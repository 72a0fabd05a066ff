"""``mfserve promote``, and how it is shown what the promotion gates found."""

from __future__ import annotations

from typing import Annotated

import typer

from mfserve.cli import _options as options
from mfserve.cli._aliases import Actor, AnyRevision, ModelArgument, Reason, show_change
from mfserve.cli._output import UsageError, line, plain, table
from mfserve.cli._server import Server
from mfserve.types import GateReport, Promotion


def promote(
    model: ModelArgument,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    *,
    alias: Annotated[
        str, typer.Option(help="Alias that is to name it; it need not exist yet.")
    ] = "production",
    force: Annotated[
        bool, typer.Option("--force", help="Promote it although gates failed; needs --reason.")
    ] = False,
    expected_revision: AnyRevision = None,
    reason: Reason = None,
    actor: Actor = None,
    server: Server,
    json: options.Json = False,
) -> None:
    """Point an alias to a version, unless promotion gates failed when it was published."""
    if force and not (reason or "").strip():
        raise UsageError("--force needs --reason: the alias's history keeps why")
    with server.client(actor=actor) as client:
        changed = client.promote(
            model, version, alias, force=force, expected_revision=expected_revision, reason=reason or ""
        )
        show_change(client, model, changed, json=json)


def show_gates(report: GateReport) -> None:
    """Prints what the gates found."""
    if report.incumbent_version is None:
        line(f"Promotion gates: {plain(report.alias)} named no version to compare with")
        return
    table(
        f"Promotion gates, beside version {report.incumbent_version} ({report.alias})",
        ("gate", "outcome", "new#", "incumbent#", "bound#", "what was found"),
        (
            (
                result.gate.value,
                result.outcome.value,
                _number(result.value),
                _number(result.incumbent_value),
                _number(result.bound),
                result.message,
            )
            for result in report.results
        ),
    )


def show_promotion(promotion: Promotion) -> None:
    """Prints what became of the alias."""
    if promotion.promoted:
        line(f"{plain(promotion.alias)} names it now")
    else:
        line(f"[red]{plain(promotion.alias)} was not moved to it[/]: {plain(promotion.reason)}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
