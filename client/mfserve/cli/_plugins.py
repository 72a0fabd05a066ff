"""Commands that come with an extra: found through entry points, explained where the extra is not installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import typer
import typer.core
import typer.main
from rich.markup import escape

from mfserve.cli._output import CommandError

_GROUP = "mfserve.commands"
_EXTRAS = {"mfserve_registry": "server", "mfserve_server": "server", "mfserve_trainer": "trainer"}


class PluginGroup(typer.core.TyperGroup):
    """A group whose commands are its own and those of the entry-point group ``mfserve.commands``.

    An entry point is loaded only when its command is asked for, so that ``mfserve recommend`` imports no server.
    Contexts and commands are Any: typer took Click into a private module of its own, and no public name is left.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({plugin.name for plugin in _plugins()} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = _plugin(cmd_name)
        return None if found is None else _load(found)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(
                "Value error, "
            )  # pydantic's, of which typer makes use
            raise
        except ModuleNotFoundError as error:
            # A library that is imported only when the command runs is as much a part of its extra.
            plugin = _plugin(ctx.invoked_subcommand)
            if plugin is None or _ours(error):
                raise
            raise CommandError(_needs(plugin, error)) from error


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=_GROUP))


def _plugin(name: str | None) -> EntryPoint | None:
    return next((plugin for plugin in _plugins() if plugin.name == name), None)


def _load(plugin: EntryPoint) -> Any:
    try:
        return _as_command(plugin.name, plugin.load())
    except ImportError as error:
        return _as_command(plugin.name, _explanation(plugin, error))


def _as_command(name: str, target: Any) -> Any:
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


def _explanation(plugin: EntryPoint, error: ImportError) -> Any:
    """A command in the place of the one that cannot be loaded, so that the list of commands stays whole."""
    missing = isinstance(error, ModuleNotFoundError) and not _ours(error)

    def explain() -> NoReturn:
        if missing:
            raise CommandError(_needs(plugin, error))
        raise error  # a defect of ours or a broken library: whoever repairs it needs to see where

    advice = f"Needs the extra: pip install 'mfserve[{_extra(plugin)}]'." if missing else f"Broken: {error}"
    explain.__doc__ = escape(advice)  # help texts are markup, to which an extra in brackets is a style
    return explain


def _ours(error: ImportError) -> bool:
    """Only a missing library is a missing extra; a module of ours that is not there is a defect."""
    return (error.name or "").startswith("mfserve")


def _needs(plugin: EntryPoint, error: ImportError) -> str:
    library = error.name or "a library"
    return f"`mfserve {plugin.name}` needs {library}, which is not installed: pip install 'mfserve[{_extra(plugin)}]'"


def _extra(plugin: EntryPoint) -> str:
    return _EXTRAS.get(plugin.module.partition(".")[0], "all")
