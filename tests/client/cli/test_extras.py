"""Where an extra is not installed; and what a command imports before it asks the server."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mfserve.cli import _plugins, main
from tests.client.cli.conftest import Run, environment
from tests.integration.service import RunningService

# Python reads a module of this name when it starts. It hides libraries as if they had not been installed.
HIDER = """
import os
from importlib.machinery import PathFinder

hidden, found = os.environ["HIDDEN"].split(","), PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.partition(".")[0] in hidden else found(name, *more)
"""

LIBRARIES = {
    "registry": ["numpy", "pydantic_settings", "sqlalchemy"],
    "server": ["alembic", "grpc_health", "numpy", "pydantic_settings", "sqlalchemy", "structlog", "uvloop"],
    "trainer": ["keras", "numpy", "pandas", "pyarrow", "sklearn", "sqlalchemy", "structlog", "tensorflow"],
}

NO_EXTRA = "cryptography,numpy,pydantic_settings,sqlalchemy,structlog,tensorflow,uvloop"


@pytest.fixture
def without(process: Run, tmp_path: Path) -> Run:
    """Runs a command line where libraries, named first and separated by commas, are missing."""
    (tmp_path / "sitecustomize.py").write_text(HIDER)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    return lambda hidden, *arguments: process(*arguments, HIDDEN=hidden, PYTHONPATH=path)


@pytest.mark.parametrize(
    ("command", "extra", "library"),
    [
        *(("serve", "server", library) for library in LIBRARIES["server"]),
        *(("trainer", "trainer", library) for library in LIBRARIES["trainer"]),
        *(("export", "server", library) for library in LIBRARIES["registry"]),
        *(("import", "server", library) for library in LIBRARIES["registry"]),
        *(("gc", "server", library) for library in LIBRARIES["registry"]),
        ("datasets", "trainer", "numpy"),
        ("datasets", "trainer", "platformdirs"),
    ],
)
def test_a_missing_library_is_one_line_that_says_what_to_install(
    without: Run, tmp_path: Path, command: str, extra: str, library: str
) -> None:
    arguments = {"datasets": [], "export": ["movies", "1"], "import": ["movies-1.mfserve"]}
    flags = [] if command == "datasets" else ["--home", str(tmp_path / "home")]
    finished = without(library, command, *arguments.get(command, []), *flags)
    assert (finished.code, finished.out) == (1, "")
    assert finished.err == (
        f"error: `mfserve {command}` needs {library}, which is not installed: pip install 'mfserve[{extra}]'\n"
    )


def test_reflection_is_needed_only_where_it_is_asked_for(without: Run, tmp_path: Path) -> None:
    finished = without("grpc_reflection", "serve", "--reflection", "--home", str(tmp_path / "home"))
    assert (finished.code, finished.err.count("\n")) == (1, 1)
    assert "grpc_reflection" in finished.err


def test_a_token_is_made_where_no_extra_is_installed(without: Run) -> None:
    assert without(NO_EXTRA, "token", "ann", "--scope", "admin").code == 0


def test_help_lists_every_command_where_no_extra_is_installed(without: Run) -> None:
    finished = without(NO_EXTRA, "--help")
    assert (finished.code, finished.err) == (0, "")
    for name in ("serve", "token", "trainer", "datasets", "export", "import", "gc"):
        assert f"│ {name} " in finished.out


def test_help_says_which_extra_a_command_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = EntryPoint("missing", "library_of_nobody:command", "mfserve.commands")
    monkeypatch.setattr(_plugins, "_plugins", lambda: [missing])
    monkeypatch.setattr(_plugins, "_EXTRAS", {"library_of_nobody": "server"})
    assert "Needs the extra: pip install 'mfserve[server]'." in run("--help").out
    refused = run("missing")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "pip install 'mfserve[server]'" in refused.err


def test_calls_to_a_server_need_no_extra(without: Run) -> None:
    heavy = "numpy,pandas,pyarrow,pydantic_settings,sqlalchemy,structlog,tensorflow,uvloop"
    assert without(heavy, "recommend", "movies", "1").code == 0


@pytest.mark.parametrize(("library", "suffix"), [("numpy", ".npz"), ("pyarrow", ".parquet")])
def test_a_file_format_without_its_library_is_refused(
    without: Run, tmp_path: Path, library: str, suffix: str
) -> None:
    finished = without(library, "embeddings", "movies", "-o", str(tmp_path / f"e{suffix}"))
    assert (finished.code, finished.err) == (
        1,
        f"error: writing {suffix} needs {library}: pip install {library}\n",
    )


def test_a_broken_plugin_breaks_its_own_command_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [
        EntryPoint("broken", "mfserve.cli._no_such_module:command", "mfserve.commands"),
        EntryPoint("status", "mfserve.cli._no_such_module:command", "mfserve.commands"),
    ]
    monkeypatch.setattr(_plugins, "_plugins", lambda: broken)
    shown = run("--help")
    assert (shown.code, shown.err) == (0, "")
    assert "Broken: No module named 'mfserve.cli._no_such_module'" in " ".join(shown.out.split())
    assert run("status").code == 0  # our own commands come first
    monkeypatch.setattr(sys, "argv", ["mfserve", "broken"])
    with pytest.raises(ModuleNotFoundError, match="_no_such_module"):
        main()


IMPORTED = """
import sys
from mfserve.cli import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported_by(address: str, *arguments: str) -> set[str]:
    """The packages that a command line has imported at its end."""
    finished = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        env=environment(address),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0
    return set(finished.stderr.split())


@pytest.mark.parametrize("arguments", [["recommend", "movies", "1"], ["recommend", "--help"]], ids=" ".join)
def test_a_call_to_a_server_imports_no_extra(service: RunningService, arguments: list[str]) -> None:
    loaded = imported_by(service.address, *arguments)
    assert {"grpc", "rich", "typer"} <= loaded
    heavy = {
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic_settings",
        "sqlalchemy",
        "structlog",
        "tensorflow",
        "uvloop",
    }
    assert not loaded & (heavy | {"mfserve_registry", "mfserve_scoring", "mfserve_server", "mfserve_trainer"})


def test_a_command_of_an_extra_imports_no_client(service: RunningService) -> None:
    loaded = imported_by(service.address, "serve", "--help")
    assert "mfserve_server" in loaded
    assert "grpc" not in loaded


def test_a_misspelt_command_of_an_extra_is_recognized(run: Run) -> None:
    refused = run("srve")
    assert refused.code == 2
    assert "Did you mean 'serve'?" in refused.err
