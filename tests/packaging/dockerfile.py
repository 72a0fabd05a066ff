"""Reads a Dockerfile, and replays what its stages install on this machine, without a container engine.

Each stage gets a folder that stands for its ``/``. COPY copies into it, and RUN runs with every path below
``/opt`` and ``/build`` turned into one below that folder. What only root in a container can do (users, system
packages) is left out, and listed. What a RUN installs by a lock is kept for the next replay, as an engine keeps its
layers: TensorFlow takes a minute to unpack.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from dockerfile_parse import DockerfileParser

REPLAYED_PATHS = re.compile(r"(?<![\w./])/(opt|build)(?=/)")
FOR_ROOT_ONLY = ("groupadd ", "apt-get ")
BY_LOCK = "--require-hashes"


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, its continuation lines joined."""

    instruction: str
    value: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY: from the build context where ``stage`` is None, else from another stage."""

    stage: str | None
    sources: list[str]
    target: str


@dataclass(slots=True)
class Stage:
    name: str
    base: str
    """Another stage, or an image."""
    steps: list[Step] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [step.value for step in self.steps if step.instruction == instruction]

    def copies(self) -> list[Copy]:
        return [parse_copy(value) for value in self.values("COPY")]


def parse_copy(value: str) -> Copy:
    *sources, target = value.split()
    stage = None
    if sources[0].startswith("--from="):
        stage = sources.pop(0).removeprefix("--from=")
    return Copy(stage, sources, target)


def read_stages(path: Path) -> dict[str, Stage]:
    """The stages by name, in order. Every stage has a name, and an image has a stage by its full name."""
    parser = DockerfileParser(fileobj=io.BytesIO(path.read_bytes()), env_replace=False)
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for entry in parser.structure:
        step = Step(entry["instruction"].upper(), entry["value"])
        if step.instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", step.value).groups()  # type: ignore[union-attr] # no match: a failure is wanted
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
            stages[name] = Stage(name, base)
        elif stages:
            next(reversed(stages.values())).steps.append(step)
        elif step.instruction == "ARG":
            key, _, default = step.value.partition("=")
            arguments[key] = default
    return stages


class Replay:
    """Builds stages in folders of their own, each once.

    Args:
        stages: all stages of the Dockerfile.
        context: the folder that is sent to the builder: the checkout.
        folder: an empty folder for the stages' roots.
        layers: the folder of what is kept for the next replay.
        environment: of every RUN; brings the wheels.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        context: Path,
        folder: Path,
        layers: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._stages = stages
        self._context = context
        self._folder = folder
        self._layers = layers
        self._roots: dict[str, Path] = {}
        self.left_out: list[str] = []
        python = folder / "bin" / "python"
        python.parent.mkdir(parents=True)
        # An image's `python` is no virtual environment, but these tests run in one: hand on the one beneath it.
        python.write_text(f'#!/bin/sh\nexec {sys._base_executable} "$@"\n')  # type: ignore[attr-defined] # what venv itself asks
        python.chmod(0o755)
        self._environment = {
            **environment,
            "PATH": f"{python.parent}:{environment['PATH']}",
            # To compile all that TensorFlow brings takes as long as unpacking it; what is imported is compiled anyway.
            "PIP_NO_COMPILE": "1",
        }

    def root(self, name: str) -> Path:
        """The folder that stands for ``/`` at the end of stage ``name``."""
        if name not in self._roots:
            self._roots[name] = self._build(self._stages[name])
        return self._roots[name]

    def _build(self, stage: Stage) -> Path:
        root = self._folder / stage.name
        if stage.base in self._stages:
            shutil.copytree(self.root(stage.base), root, symlinks=True)
        else:
            root.mkdir()
        directory = root
        for step in stage.steps:
            if step.instruction == "WORKDIR":
                directory = root / step.value.lstrip("/")
                directory.mkdir(parents=True, exist_ok=True)
            elif step.instruction == "COPY":
                self._copy(parse_copy(step.value), root, directory)
            elif step.instruction == "RUN" and BY_LOCK in step.value:
                self._install(step.value, root, directory)
            elif step.instruction == "RUN":
                self._run(step.value, root, directory)
        return root

    def _copy(self, copy: Copy, root: Path, directory: Path) -> None:
        target = root / copy.target.lstrip("/") if copy.target.startswith("/") else directory / copy.target
        into_folder = copy.target.endswith("/")
        for source in copy.sources:
            if copy.stage is not None:
                # A virtual environment holds its own path, so it cannot move: a link stands for the copy.
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(self.root(copy.stage) / source.lstrip("/"))
            elif (self._context / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(self._context / source, target, ignore=unwanted, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._context / source, target / source if into_folder else target)

    def _install(self, command: str, root: Path, directory: Path) -> None:
        """RUN of what a lock fixes: the same command on the same files gives the same packages."""
        layer = self._layers / _digest(command, root)
        # One process makes it, others wait for it.
        with (self._layers / f"{layer.name}.lock").open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            if not layer.exists():
                with TemporaryDirectory(dir=self._layers, prefix=".building-") as building:
                    made = Path(building) / "root"
                    shutil.copytree(root, made)
                    self._run(command, made, made / directory.relative_to(root))
                    made.rename(layer)
        _copy_environments(layer, root)

    def _run(self, command: str, root: Path, directory: Path) -> None:
        if any(word in command for word in FOR_ROOT_ONLY):
            self.left_out.append(command)
            return
        moved = REPLAYED_PATHS.sub(lambda match: f"{root}/{match[1]}", command)
        # As the engine runs it: /bin/sh -c. The text comes from our own Dockerfile.
        subprocess.run(["/bin/sh", "-ec", moved], cwd=directory, env=self._environment, check=True)


def _digest(command: str, root: Path) -> str:
    """Of all that decides what the command makes of the folder."""
    python = f"{sys._base_executable} {sys.version}"  # type: ignore[attr-defined] # what venv itself asks
    state = hashlib.sha256(f"{python}\n{command}".encode())
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        state.update(f"\n{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return state.hexdigest()


def _copy_environments(layer: Path, root: Path) -> None:
    """Copies the virtual environments of a layer but for their packages: a link to each is as good, and quick."""
    for environment in (layer / "opt").iterdir():
        (packages,) = environment.glob("lib/python*/site-packages")

        def unless_packages(folder: str, names: list[str], left_out: Path = packages) -> list[str]:
            return names if Path(folder) == left_out else []

        copied = root / environment.relative_to(layer)
        shutil.copytree(environment, copied, symlinks=True, ignore=unless_packages)
        for package in packages.iterdir():
            (copied / package.relative_to(environment)).symlink_to(package)
