"""``mfserve trainer`` and ``mfserve datasets``."""

from __future__ import annotations

import asyncio
import json as json_format
import signal
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mfserve_registry.commands import (
    ConfigFile,
    byte_bar,
    one_line,
    open_registry,
    setting,
    settings_of,
    tell_of_data_roots,
)
from mfserve_registry.settings import StartError
from mfserve_registry.traces import require_traces
from mfserve_trainer.memory import can_be_read
from mfserve_trainer.settings import Settings

_option = partial(setting, Settings)


def trainer(  # noqa: PLR0917 - typer passes options by name
    home: Annotated[Path | None, _option("home")] = None,
    store_url: Annotated[str | None, _option("store_url")] = None,
    data_roots: Annotated[str | None, _option("data_roots")] = None,
    lease_seconds: Annotated[float | None, _option("lease_seconds")] = None,
    cache_dir: Annotated[Path | None, _option("cache_dir")] = None,
    max_fit_bytes: Annotated[str | None, _option("max_fit_bytes", metavar="<int>")] = None,
    max_fit_seconds: Annotated[float | None, _option("max_fit_seconds")] = None,
    otlp_endpoint: Annotated[str | None, _option("otlp_endpoint")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
    config: ConfigFile = None,
) -> None:
    """Trains what is queued in a registry. Ends on Ctrl-C or SIGTERM; a job under way goes back to the queue."""
    flags = {
        "home": home,
        "store_url": store_url,
        "data_roots": data_roots,
        "lease_seconds": lease_seconds,
        "cache_dir": cache_dir,
        "max_fit_bytes": max_fit_bytes,
        "max_fit_seconds": max_fit_seconds,
        "otlp_endpoint": otlp_endpoint,
        "log_level": log_level,
        "log_format": log_format,
    }
    # What only the process of a fit imports. Every job would fail on it.
    for library in ("keras", "pandas", "pyarrow", "sklearn", "tensorflow"):
        if find_spec(library) is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
    with one_line("trainer"):
        settings = settings_of("trainer", Settings, flags, config)
        tell_of_data_roots("trainer", settings)
        require_traces(settings)
        if settings.max_fit_bytes is not None and not can_be_read():
            raise StartError(
                "max_fit_bytes cannot be kept here: this system has no /proc to read memory from."
            )
        asyncio.run(_train(settings))


async def _train(settings: Settings) -> None:
    from mfserve_registry.logs import configure_logs
    from mfserve_registry.traces import open_traces
    from mfserve_trainer.worker import Worker

    configure_logs(settings, process="trainer")
    with open_registry(settings) as registry:
        registry.ask_store()
        registry.clean_staging()
        traces = open_traces(settings, "mfserve-trainer")
        worker = Worker(settings, registry, traces)
        for caught in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(caught, worker.stop)
        typer.echo(f"mfserve trainer works on the jobs of {settings.home}", err=True)
        await worker.run()
        if traces is not None:
            traces.close()


datasets = typer.Typer(help="Data sets that are built in.", invoke_without_command=True, add_completion=False)


@datasets.callback()
def list_datasets(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the data sets that are built in; `fetch` puts one into the cache."""
    if context.invoked_subcommand is not None:
        return
    from mfserve_trainer.datasets import list_builtin

    found = list_builtin()
    if json:
        typer.echo(json_format.dumps([asdict(one) | {"scale": one.scale.model_dump()} for one in found]))
        return
    # 80 columns hold these, but not the addresses of the licences.
    table = Table(show_edge=False, pad_edge=False)
    for column in ("name", "ratings", "users", "items", "scale", "MiB", "cached"):
        table.add_column(column, justify="left" if column in {"name", "cached"} else "right")
    for one in found:
        table.add_row(
            one.name,
            f"{one.ratings:,}",
            f"{one.users:,}",
            f"{one.items:,}",
            f"{one.scale.minimum:g}–{one.scale.maximum:g}",
            f"{one.size_bytes / 2**20:.1f}",
            "yes" if one.cached else "no",
        )
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print("[bold]Built-in data sets[/]")
    console.print(table)
    console.print("Their licences:")
    for one in found:
        console.print(one.licence_url, soft_wrap=True, highlight=False)


@datasets.command()
def fetch(name: Annotated[str, typer.Argument(help="Name of a built-in data set.")]) -> None:
    """Fetch a data set into the cache, so that a later training needs no network."""
    from mfserve_trainer.datasets import fetch as fetch_dataset

    with one_line("datasets"), byte_bar() as report:
        path = fetch_dataset(name, progress=report)
    typer.echo(f"{name} is in {path}")
