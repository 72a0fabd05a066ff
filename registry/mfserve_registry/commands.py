"""What the commands of the extras have in common: options that are settings, a registry, a bar, and how they end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from mfserve_registry.durations import as_text
from mfserve_registry.errors import InvalidArgument, RegistryError
from mfserve_registry.setting_faults import PREFIX, unknown_variables
from mfserve_registry.settings import ProcessSettings, SettingsError, SettingsT, StartError, load_settings

if TYPE_CHECKING:
    from mfserve_registry.registry import Registry

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file of settings, all of them: each has the name of its variable, in lower case and without "
        f"{PREFIX}. Variable: {PREFIX}CONFIG",
        show_default=False,
        readable=False,  # what cannot be read is told of as what is not there
    ),
]

_READER_GONE = 141
"""As after SIGPIPE, without a word: whoever read what we write, as in ``| head``, has seen enough."""


def setting(model: type[ProcessSettings], name: str, *declarations: str, **more: Any) -> Any:
    """An option that says of a setting what its docstring does. Absent, the setting comes from elsewhere."""
    field = model.model_fields[name]
    description = (field.description or "").replace("``", "")
    # On a line of its own where it must be: 80 columns have room for the longest name, and for no bracket.
    text = f"{description} Variable: {PREFIX}{name.upper()}"
    return typer.Option(
        *declarations, help=text, show_default=_default(name, field.default), readable=False, **more
    )


def settings_of(
    command: str, model: type[SettingsT], flags: dict[str, Any], config: Path | None
) -> SettingsT:
    """``load_settings``, with a line on standard error for each variable that is none."""
    for line in unknown_variables(os.environ).values():
        _say(command, line)
    return load_settings(model, flags, config)


def tell_of_new_registry(command: str, settings: ProcessSettings) -> None:
    """A line on standard error: a home that was misspelt would otherwise not be noticed."""
    _say(command, f"there was no registry in {settings.home}, so that a new one is made")


def tell_of_data_roots(command: str, settings: ProcessSettings) -> None:
    """A line on standard error for each data root that is no folder; it may be mounted later."""
    for root in settings.data_roots:
        if not root.is_dir():
            _say(command, f"the data root {root} is no folder, so that no file can be read there")


@contextmanager
def one_line(command: str) -> Iterator[None]:
    """What goes wrong is one line on standard error; exit code 2 where what was asked is wrong in itself, else 1."""
    try:
        yield
    except (SettingsError, InvalidArgument) as error:
        _say(command, error)
        raise typer.Exit(2) from error
    except BrokenPipeError as error:
        raise typer.Exit(_READER_GONE) from error
    except (StartError, RegistryError) as error:
        _say(command, error)
        raise typer.Exit(1) from error
    except OSError as error:
        _say(command, unusable(error))
        raise typer.Exit(1) from error


def unusable(error: OSError, path: Path | None = None) -> str:
    """What the system does not let us do with its file, or else with ``path``."""
    place = error.filename or path
    if place is None or not error.strerror:
        return str(error)
    if isinstance(error, FileExistsError):  # something else is where a folder is to be made
        return f"{place} is no folder."
    return f"{place} cannot be used: {error.strerror}."


def unopened(settings: ProcessSettings, error: RegistryError) -> StartError:
    """Says which registry it is that cannot be opened, and what its database said, if that is why."""
    said = getattr(error.__cause__, "orig", None)
    cause = f" ({' '.join(str(said).split())})" if said else ""
    return StartError(f"{settings.registry_place} cannot be opened: {error.message.rstrip('.')}{cause}.")


def has_registry(settings: ProcessSettings) -> bool:
    """Whether opening the registry would make no new one. Of one that a URL names nobody knows before."""
    return settings.url is not None or any(
        (settings.home / name).exists() for name in ("registry.db", "snapshots")
    )


def require_registry(settings: ProcessSettings) -> None:
    """StartError where opening the registry would make a new one."""
    if not has_registry(settings):
        raise StartError(f"There is no registry in {settings.home}; --home names another folder.")


def open_registry(settings: ProcessSettings) -> Registry:
    """The registry of the settings; StartError where it cannot be used."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from mfserve_registry.logs import logs_to_stderr
    from mfserve_registry.registry import Registry

    logs_to_stderr()
    try:
        return Registry.open(
            settings.home,
            database_url=settings.url,
            store_url=settings.store_url,
            cache_bytes=settings.cache_bytes,
        )
    except InvalidArgument:  # a setting that is wrong in itself
        raise
    except RegistryError as error:
        raise unopened(settings, error) from error
    except DBAPIError as error:
        raise StartError(f"The registry's database cannot be used: {error.orig}.") from error
    except (SQLAlchemyError, ImportError) as error:  # no URL, or one for which a driver is missing
        raise StartError(f"The registry's database cannot be used: {error}.") from error


@contextmanager
def byte_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Shows on a terminal what is being done, and how many bytes of how many (0: not known) are."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console, transient=True
    )
    bar = bars.add_task("", total=None)

    def report(what: str, done: int, total: int) -> None:
        if console.is_terminal:
            bars.start()  # not before there is something to show: an empty bar leaves an empty line
            bars.update(bar, description=what, completed=done, total=total or None)

    try:
        yield report
    finally:
        if bars.live.is_started:
            bars.stop()


def _say(command: str, what: object) -> None:
    typer.echo(f"mfserve {command}: {' '.join(str(what).split())}", err=True)


def _default(name: str, value: Any) -> str | bool:
    """What the help shows; nothing where the description tells what holds without a value."""
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, timedelta):
        return as_text(value)
    return str(value) if isinstance(value, int | str) else False
