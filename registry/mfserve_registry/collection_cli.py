"""``mfserve gc``: deletes what is not to be kept, and removes the files that nothing names any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ConfigDict, Field
from rich.console import Console
from rich.table import Table

from mfserve_registry.commands import (
    ConfigFile,
    byte_bar,
    one_line,
    open_registry,
    require_registry,
    setting,
    settings_of,
)
from mfserve_registry.durations import Duration
from mfserve_registry.settings import ProcessSettings, SettingsError, StartError

if TYPE_CHECKING:
    from mfserve_registry import Collected


class Settings(ProcessSettings):
    """What is kept, and where. The settings file of a server says more that does not matter here."""

    model_config = ConfigDict(extra="ignore")

    keep_last: int | None = Field(None, ge=1)
    """Delete all but the newest so many versions of each model, and what is in use; absent: delete none."""
    named_within: Duration = timedelta(days=30)
    """With --keep-last, versions stay that an alias named within this time."""
    keep_uploads: Duration | None = None
    """Delete uploads that no training has used for so long; absent: delete none."""
    grace: Duration = timedelta(days=1)
    """What is younger stays, and the files of what was deleted: longer than any publication or upload takes."""


_option = partial(setting, Settings)


def gc(
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change nothing, and show what would go, what would stay and why."),
    ] = False,
    keep_last: Annotated[int | None, _option("keep_last")] = None,
    named_within: Annotated[str | None, _option("named_within")] = None,
    keep_uploads: Annotated[str | None, _option("keep_uploads")] = None,
    grace: Annotated[str | None, _option("grace")] = None,
    home: Annotated[Path | None, _option("home")] = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Remove the files of deleted versions and those that nothing names; delete old versions where asked to.

    Runs beside servers and trainers, by hand or from cron. What an alias names or a rollback would bring back, what a
    server holds and what is just being published always stays. One that is broken off is finished by the next.

    Reads and writes the registry itself: runs where its home folder is, with or without a server beside it.
    """
    from mfserve_registry.collecting import Retention

    given = {
        "keep_last": keep_last,
        "named_within": named_within,
        "keep_uploads": keep_uploads,
        "grace": grace,
        "home": home,
    }
    with one_line("gc"):
        settings = settings_of("gc", Settings, given, config)
        if named_within is not None and settings.keep_last is None:
            raise SettingsError(
                "--named-within keeps versions from --keep-last, and without that none is deleted: add "
                "--keep-last N, or leave it out."
            )
        require_registry(settings)
        retention = Retention(
            keep_last=settings.keep_last,
            keep_uploads=settings.keep_uploads,
            named_within=settings.named_within,
            grace=settings.grace,
        )
        with open_registry(settings) as registry, byte_bar() as bar:
            collected = registry.collect(retention, dry_run=dry_run, progress=partial(bar, "gc"))
    if as_json:
        typer.echo(
            json.dumps({"dry_run": dry_run, "freed_bytes": collected.freed_bytes, **asdict(collected)})
        )
    else:
        _show(collected, dry_run=dry_run)
    if collected.missing:
        with one_line("gc"):
            raise StartError(_missing(collected.missing))


def _show(collected: Collected, *, dry_run: bool) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    for goes in (True, False):
        table = Table(show_edge=False, pad_edge=False)
        # Folded, not cut: whoever looks for a digest needs all of it.
        table.add_column("would go" if goes and dry_run else "gone" if goes else "stays", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("why", overflow="fold")
        for verdict in collected.verdicts:
            if verdict.goes == goes:
                table.add_row(
                    verdict.name, _size(verdict.size_bytes) if verdict.size_bytes else "", verdict.why
                )
        if table.row_count and (goes or dry_run):
            console.print(table)
            console.print()
    freed = f"{_size(collected.freed_bytes)} {'would be ' if dry_run else ''}freed"
    named = f"{collected.named} that the database names ({_size(collected.named_bytes)})"
    later = [verdict.size_bytes for verdict in collected.verdicts if verdict.size_bytes and not verdict.goes]
    others = f", and {len(later)} more for now ({_size(sum(later))})" if later else ""
    why = "; --dry-run shows why" if later and not dry_run else ""
    typer.echo(f"{freed}; of the snapshots, artifacts and uploads, the {named} stay{others}{why}.")


def _missing(names: tuple[str, ...]) -> str:
    return (
        f"{len(names)} of what the database names is not in the store, {names[0]} for one: either the store is the "
        "wrong one, or its files were lost; import an archive of these versions, or delete them."
    )


def _size(count: int) -> str:
    amount, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
