"""The commands: imported when they are asked for, and explained where the extra that one comes with is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import typer
import typer.core
import typer.main
from rich.markup import escape

from mfserve.cli._output import CommandError

_GROUP = "mfserve.commands"
_EXTRAS = {"mfserve_registry": "server", "mfserve_server": "server", "mfserve_trainer": "trainer"}

_OWN = {
    name: EntryPoint(name, f"mfserve.cli.{module}:{name.replace('-', '_')}", _GROUP)
    for module, *names in (
        ("_training", "train"),
        ("_tuning", "tune"),
        ("_asking", "recommend", "predict", "similar"),
        ("_models", "models", "versions"),
        ("_comparing", "compare"),
        ("_aliases", "alias"),
        ("_promotion", "promote"),
        ("_aliases", "rollback", "alias-history"),
        ("_deletion", "delete-version", "delete-model"),
        ("_report", "report"),
        ("_jobs", "jobs"),
        ("_status", "status"),
        ("_embeddings", "embeddings"),
        ("_bench", "bench"),
    )
    for name in names
}
"""Those that need no extra, in the order of the help."""


class _Commands(Mapping[str, Any]):
    """Our own commands, and those of the entry-point group ``mfserve.commands``.

    Each is imported when it is looked up, not before: ``mfserve recommend`` imports no server, and ``mfserve serve``
    no client.
    """

    def __getitem__(self, name: str) -> Any:
        found = _OWN.get(name) or _plugin(name)
        if found is None:
            raise KeyError(name)
        return _load(found)

    def __iter__(self) -> Iterator[str]:
        return iter([*_OWN, *sorted({plugin.name for plugin in _plugins()} - set(_OWN))])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class PluginGroup(typer.core.TyperGroup):
    """A group of commands that nothing has imported yet.

    Contexts and commands are Any: typer took Click into a private module of its own, and no public name is left.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # nobody adds to them

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

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
        target = plugin.load()
        if plugin.name in _OWN:
            from mfserve.cli._server import calling

            target = calling(target)
        return _as_command(plugin.name, target)
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
