"""Commands that come with an extra: found through entry points, explained where the extra is not installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, NoReturn

import typer
import typer.core
import typer.main

from mfserve.cli._output import CommandError

if TYPE_CHECKING:
    from typer._click.core import Command, Context

_GROUP = "mfserve.commands"
_EXTRAS = {"mfserve_server": "server", "mfserve_trainer": "trainer"}


class PluginGroup(typer.core.TyperGroup):
    """A group whose commands are its own and those of the entry-point group ``mfserve.commands``.

    An entry point is loaded only when its command is asked for, so that ``mfserve recommend`` imports no server.
    """

    def list_commands(self, ctx: Context) -> list[str]:
        return [*super().list_commands(ctx), *(plugin.name for plugin in _plugins())]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = next((plugin for plugin in _plugins() if plugin.name == cmd_name), None)
        return None if found is None else _load(found)


def _plugins() -> list[EntryPoint]:
    return sorted(entry_points(group=_GROUP), key=lambda plugin: plugin.name)


def _load(plugin: EntryPoint) -> Command:
    try:
        target = plugin.load()
    except ModuleNotFoundError as error:
        # Only a missing library is a missing extra; a module of ours that is not there is a defect.
        if (error.name or "").startswith("mfserve"):
            raise
        return _as_command(plugin.name, _missing(plugin, error.name or "a library"))
    return _as_command(plugin.name, target)


def _as_command(name: str, target: Any) -> Command:
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


def _missing(plugin: EntryPoint, library: str) -> Any:
    extra = _EXTRAS.get(plugin.module.partition(".")[0], "all")

    def explain() -> NoReturn:
        raise CommandError(
            f"`mfserve {plugin.name}` needs {library}, which is not installed: pip install 'mfserve[{extra}]'"
        )

    explain.__doc__ = f"Needs the extra: pip install 'mfserve[{extra}]'."
    return explain
