"""What a package imports, read from its source without running it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT_VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
PACKAGES = {
    "mfserve": ROOT / "client" / "mfserve",
    "mfserve_registry": ROOT / "registry" / "mfserve_registry",
    "mfserve_scoring": ROOT / "scoring" / "mfserve_scoring",
    "mfserve_server": ROOT / "server" / "mfserve_server",
    "mfserve_trainer": ROOT / "trainer" / "mfserve_trainer",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module.

    Attributes:
        module: dotted name.
        place: ``file:line``.
        when: ``import`` (when its file is imported), ``call`` (inside a function) or ``typing`` (only for checkers).
    """

    module: str
    place: str
    when: str

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def imports_of(package: str) -> list[Import]:
    """Every absolute import in every file of one of our packages; relative ones cannot leave it."""
    return [
        found
        for path in sorted(PACKAGES[package].rglob("*.py"))
        for found in _walk(ast.parse(path.read_bytes()), path, "import")
    ]


def _walk(node: ast.AST, path: Path, when: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        place = f"{path.relative_to(ROOT)}:{getattr(child, 'lineno', 0)}"
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, place, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level == 0 and child.module:
                # `from a import b` may import the module a.b: both names count.
                yield Import(child.module, place, when)
                yield from (Import(f"{child.module}.{alias.name}", place, when) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, path, "typing" if when == "typing" else "call")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), path, "typing")
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), path, when)
        else:
            yield from _walk(child, path, when)
