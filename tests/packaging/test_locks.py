"""The locks: complete, by hash, alike where they overlap, and of no particular index."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.packaging.imports import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PEERS = sorted((ROOT / "benchmarks" / "peers").glob("*.lock"))
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<rest>.*)$", re.MULTILINE)


def pins(lock: Path) -> dict[str, set[Version]]:
    """Every version that a lock allows of each package; more than one where they differ between Pythons."""
    found: dict[str, set[Version]] = {}
    for match in PIN.finditer(lock.read_text("utf-8")):
        found.setdefault(canonicalize_name(match["name"]), set()).add(Version(match["version"]))
    return found


def group(name: str) -> Iterable[str]:
    """A dependency group with the groups it includes."""
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


EXTRAS = PROJECT["project"]["optional-dependencies"]
BASE = PROJECT["project"]["dependencies"]
DIRECT = {
    "build": [*PROJECT["build-system"]["requires"], *group("build")],
    "dev": [*BASE, *EXTRAS["server"], *EXTRAS["trainer"], *group("dev")],
    "generate": list(group("generate")),
    "server": [*BASE, *EXTRAS["server"]],
    "trainer": [*BASE, *EXTRAS["trainer"]],
}


def test_each_lock_has_its_list_of_direct_requirements() -> None:
    assert [lock.stem for lock in LOCKS] == sorted(DIRECT)
    assert [lock.with_suffix(".in") for lock in PEERS] == sorted((ROOT / "benchmarks" / "peers").glob("*.in"))


@pytest.mark.parametrize("lock", [*LOCKS, *PEERS], ids=lambda lock: lock.stem)
def test_lock_holds_every_direct_requirement_at_a_version_that_is_allowed(lock: Path) -> None:
    locked = pins(lock)
    direct = lock.with_suffix(".in").read_text("utf-8").split() if lock in PEERS else DIRECT[lock.stem]
    for text in direct:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name), set())
        assert versions, f"{wanted.name} is not in {lock.name}: run make lock"
        assert all(version in wanted.specifier for version in versions), f"{text} moved: run make lock"


@pytest.mark.parametrize("lock", [*LOCKS, *PEERS], ids=lambda lock: lock.stem)
def test_lock_names_no_index_and_no_place_of_one_machine(lock: Path) -> None:
    lines = [
        line
        for line in lock.read_text("utf-8").splitlines()
        if not line.startswith(("    --hash=sha256:", "    #"))
    ]
    strange = [line for line in lines if not PIN.match(line) and not line.startswith("#")]
    assert not strange
    assert not re.search(
        r"https?:|file:|index-url|find-links|trusted-host|/root|/home", lock.read_text("utf-8")
    )


@pytest.mark.parametrize("lock", [*LOCKS, *PEERS], ids=lambda lock: lock.stem)
def test_lock_has_a_hash_for_every_pin(lock: Path) -> None:
    text = lock.read_text("utf-8")
    bare = [match["name"] for match in PIN.finditer(text) if "--hash=sha256:" not in text[match.end() :][:90]]
    assert not bare


@pytest.mark.parametrize("name", ["build", "server", "trainer"])
def test_images_run_what_the_tests_ran_on(name: str) -> None:
    tested = pins(ROOT / "requirements" / "dev.lock")
    for package, versions in pins(ROOT / "requirements" / f"{name}.lock").items():
        assert versions <= tested[package], package


def test_server_image_has_no_training_library() -> None:
    assert not set(pins(ROOT / "requirements" / "server.lock")) & {
        "tensorflow",
        "keras",
        "pandas",
        "scikit-learn",
    }


def test_stubs_are_generated_by_the_oldest_supported_runtime() -> None:
    # Generated code that is newer than grpcio refuses to import, so the generator is the floor of what we accept.
    floor = next(Requirement(text) for text in BASE if Requirement(text).name == "grpcio")
    (generator,) = pins(ROOT / "requirements" / "generate.lock")["grpcio-tools"]
    assert [(each.operator, Version(each.version)) for each in floor.specifier] == [(">=", Version("1.76"))]
    assert generator.release[:2] == (1, 76)
