"""Writes the reference in docs/cli.md from the commands themselves: ``make docs``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from mfserve.cli._main import app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
MARK = "<!-- What follows is made by `make docs`, which reads it from the commands. -->\n"


def commands() -> dict[str, Any]:
    """Every command by its name, those of the extras included."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("mfserve", ["status"], resilient_parsing=True)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def reference() -> str:
    """The reference as Markdown."""
    return "\n".join(_section(f"mfserve {name}", command) for name, command in commands().items())


def _section(title: str, command: Any) -> str:
    lines = [f"## `{title}`", "", " ".join((command.help or "").split()), ""]
    rows = [_row(parameter) for parameter in command.params if "--help" not in parameter.opts]
    if rows:
        lines += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    for name, child in getattr(command, "commands", {}).items():
        lines.append(_section(f"{title} {name}", child))
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = (parameter.metavar or parameter.name).upper()
        names = f"`{name}`" if parameter.required else f"`[{name}]`"
    else:
        names = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    meaning = " ".join((parameter.help or "").split())
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        meaning += " One of " + ", ".join(f"`{choice.value}`" for choice in kind) + "."
    if isinstance(getattr(parameter, "show_default", None), str):
        meaning += f" [default: {parameter.show_default}]"
    elif parameter.default is not None and not isinstance(parameter.default, bool):
        meaning += f" [default: {getattr(parameter.default, 'value', parameter.default)}]"
    return f"| {names} | {meaning} |"


def page() -> str:
    """The page with its reference made anew; what stands above the mark is written by hand."""
    by_hand, _, _ = PAGE.read_text("utf-8").partition(MARK)
    return f"{by_hand}{MARK}\n{reference()}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
