"""Writes the tables in docs/settings.md from the settings themselves: ``make docs``."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo

from mfserve_registry.settings import ProcessSettings
from mfserve_server.settings import Settings
from mfserve_trainer.settings import Settings as TrainerSettings
from tests.packaging.imports import ROOT

PAGE = ROOT / "docs/settings.md"
MARK = "<!-- What follows is made by `make docs`, which reads it from the settings. -->\n"
HEAD = ["| setting | default | range | meaning |", "|---|---|---|---|"]


def tables() -> str:
    """All settings, as Markdown."""
    both = ProcessSettings.model_fields
    parts = {
        "Of servers and trainers": both,
        "Of servers": {name: field for name, field in Settings.model_fields.items() if name not in both},
        "Of trainers": {
            name: field for name, field in TrainerSettings.model_fields.items() if name not in both
        },
    }
    sections = (
        [f"## {title}", "", *HEAD, *(_row(name, field) for name, field in fields.items())]
        for title, fields in parts.items()
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("``", "`")
    return f"| `{name}` | {_default(field.default)} | {_range(field)} | {meaning} |"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if isinstance(value, int | str) else ""


def _range(field: FieldInfo) -> str:
    bounds = {
        kind: f"{value:,}"
        for bound in field.metadata
        for kind in ("ge", "gt", "le")
        if (value := getattr(bound, kind, None)) is not None
    }
    parts = ((kind, word) for kind, word in (("ge", "from"), ("gt", "above"), ("le", "to")) if kind in bounds)
    return " ".join(f"{word} {bounds[kind]}" for kind, word in parts)


def page() -> str:
    """The page with its tables made anew; what stands above the mark is written by hand."""
    by_hand, _, _ = PAGE.read_text("utf-8").partition(MARK)
    return f"{by_hand}{MARK}\n{tables()}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
