"""``mfserve export`` and ``mfserve import``: versions as files, straight from and to a registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ConfigDict

from mfserve_registry.commands import (
    ConfigFile,
    byte_bar,
    has_registry,
    one_line,
    open_registry,
    require_registry,
    setting,
    settings_of,
    tell_of_new_registry,
)
from mfserve_registry.errors import DamagedArchive, DamagedSnapshot, NotFound, RegistryError
from mfserve_registry.settings import ProcessSettings

if TYPE_CHECKING:
    from mfserve_registry import Registry, ResolvedVersion, Version
    from mfserve_registry.archive import Progress as Report

_LARGE = 64 << 20
"""Bytes that take so long that a bar is shown."""


class Settings(ProcessSettings):
    """Where the registry is. The settings file of a server says it too, and more that does not matter here."""

    model_config = ConfigDict(extra="ignore")


_DAMAGES = DamagedArchive, DamagedSnapshot

_option = partial(setting, Settings)
_Home = Annotated[Path | None, _option("home")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def export_version(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[str, typer.Argument(help="Version number, or an alias such as production or latest.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write; - for standard output.",
            show_default="MODEL-VERSION.mfserve",
            readable=False,
        ),
    ] = None,
    home: _Home = None,
    config: ConfigFile = None,
    as_json: _Json = False,
) -> None:
    """Write a version to one file, for `mfserve import` into another registry.

    Reads the registry itself: runs where its home folder is, with or without a server beside it.
    """
    from mfserve_registry.archive.writing import is_written_through

    with one_line("export"):
        settings = settings_of("export", Settings, {"home": home}, config)
        require_registry(settings)
        with open_registry(settings) as registry:
            found = _resolved(registry, settings, model, version)
            path = _file(output or Path(f"{model}-{found.version}.mfserve"), "/dev/stdout")
            with _speaking_of(path), _bar("export") as report:
                written = registry.export_version(model, found.version, path, progress=report)
        sentence = f"{model} version {written.version} is in {path}"
        _tell(written, sentence, {"path": str(path)}, as_json=as_json, to_stderr=is_written_through(path))


def import_version(
    file: Annotated[
        Path,
        typer.Argument(help="File that `mfserve export` wrote; - for standard input.", readable=False),
    ],
    *,
    model: Annotated[
        str | None, typer.Option(help="Model to make it a version of.", show_default="that of the file")
    ] = None,
    home: _Home = None,
    config: ConfigFile = None,
    as_json: _Json = False,
) -> None:
    """Publish the version in a file as the next one of its model.

    The file is checked as a whole before anything becomes visible. A model's first version takes the alias
    production, unless it failed promotion gates where it was trained; no other alias moves. Where the model has this
    very version already, its number is the answer.

    Writes to the registry itself: runs where its home folder is, with or without a server beside it.
    """
    file = _file(file, "/dev/stdin")
    with one_line("import"):
        settings = settings_of("import", Settings, {"home": home}, config)
        known_home = has_registry(settings)
        with open_registry(settings) as registry, _speaking_of(file, *_DAMAGES), _bar("import") as report:
            if not known_home:
                tell_of_new_registry("import", settings)
            published = registry.import_version(file, model=model, progress=report)
        version = published.version
        known = "" if published.new else ", which was there already"
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        failed = ", ".join(result.gate for result in version.gates.failed) if version.gates else ""
        warning = f"; it failed gates ({failed}), and is promoted by force alone" if failed else ""
        sentence = f"{file} is {version.model} version {version.version}{aliases}{known}{warning}"
        _tell(version, sentence, {"path": str(file), "new": published.new}, as_json=as_json)


def _file(path: Path, stream: str) -> Path:
    """The stream where people say ``-``."""
    return Path(stream) if path == Path("-") else path


def _resolved(registry: Registry, settings: Settings, model: str, text: str) -> ResolvedVersion:
    """A number is a version, anything else (one too large for any version too) an alias."""
    try:
        if text.isdecimal() and len(text) < 19:
            return registry.models.resolve(model, version=int(text))
        return registry.models.resolve(model, alias=text)
    except NotFound as error:
        advice = "; --home names another" if settings.url is None else ""
        raise NotFound(
            f"{error.message} This is {settings.registry_place}{advice}.", reason=error.reason
        ) from error


@contextmanager
def _speaking_of(file: Path, *damages: type[RegistryError]) -> Iterator[None]:
    """Names the file where the system says what is wrong with it, or one of these errors does."""
    try:
        yield
    except damages as error:
        raise type(error)(f"{file}: {error.message}", reason=error.reason) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{file}: {error.strerror or error}.") from error


def _tell(
    version: Version, sentence: str, facts: dict[str, object], *, as_json: bool, to_stderr: bool = False
) -> None:
    if as_json:
        known = {
            name: getattr(version, name) for name in ("model", "version", "digest", "aliases", "size_bytes")
        }
        sentence = json.dumps(known | facts)
    typer.echo(sentence, err=to_stderr)


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    with byte_bar() as bar:

        def report(done: int, total: int) -> None:
            if total >= _LARGE:
                bar(what, done, total)

        yield report
