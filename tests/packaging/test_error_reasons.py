"""Every reason of an error is in the API's enum, explained there with an example, and raised by a test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve.v1 import error_reason_pb2
from tests.packaging.imports import PACKAGES, ROOT

REASONS = {
    name.removeprefix("ERROR_REASON_")
    for name in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict
} - {"UNSPECIFIED"}

# Seen by mfserve's own processes only. Should one get into a call, the server logs it and says INTERNAL.
OWN = {
    "ARCHIVE_DAMAGED",  # to whoever imports it
    "ARCHIVE_TOO_NEW",  # the same
    "JOB_CANCELLED",  # tells the trainer to end its attempt
    "JOB_NOT_CANCELLED",  # to a trainer that would end one without being asked
    "REGISTRY_NOT_MIGRATED",  # no process comes further than this
    "REGISTRY_TOO_NEW",  # the same
    "SERVER_NOT_FOUND",  # tells a server to register again
    "UPLOAD_CLOSED",  # its caller has hung up
}

CODES = {
    "ABORTED",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
}

SOURCES = [
    path
    for package in ("mfserve_registry", "mfserve_scoring", "mfserve_server", "mfserve_trainer")
    for path in PACKAGES[package].rglob("*.py")
]
# Tests with the real parts: those of the client also make servers up.
TESTS = [
    path
    for folder in ("integration", "registry", "scoring", "server", "trainer")
    for path in (ROOT / "tests" / folder).rglob("test_*.py")
]


def words(tree: ast.AST) -> set[str]:
    """The constants that are written like reasons."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[A-Z]{2,}(_[A-Z]+)*", node.value)
    }


def reasons(path: Path) -> Iterator[str]:
    """What is given as a reason: to an error, to a job that fails, or by a class to its errors."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in {"reason", "error_reason", "error"}:
                    yield from words(keyword.value)
            named = {getattr(each, "attr", getattr(each, "id", "")) for each in (node.func, *node.args)}
            if named & {"fail", "_JobFailed", "Failed"}:
                for argument in node.args:
                    yield from words(argument)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "id", "") in {"default_reason", "reason"} for target in targets):
                yield from words(node.value)


GIVEN = {reason for path in SOURCES for reason in reasons(path)}


def test_every_reason_is_in_the_enum() -> None:
    assert not GIVEN - OWN - REASONS


def test_every_reason_in_the_enum_is_given() -> None:
    assert not REASONS - GIVEN


def test_what_is_for_our_own_processes_is_no_part_of_the_api() -> None:
    assert not OWN & REASONS
    assert not OWN - GIVEN


def test_every_reason_is_raised_by_a_test() -> None:
    tested = {word for path in TESTS for word in words(ast.parse(path.read_text()))}
    assert not (REASONS | OWN) - tested


def comments() -> dict[str, str]:
    """The comment of each value of the enum, in one line."""
    source = (ROOT / "protos" / "mfserve" / "v1" / "error_reason.proto").read_text()
    found = re.findall(r"((?:  //.*\n)+)  ERROR_REASON_(\w+) = ", source)
    return {name: " ".join(line.strip(" /") for line in lines.splitlines()) for lines, name in found}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_comment_says_what_it_is_of_and_gives_an_example(reason: str) -> None:
    comment = comments()[reason]
    first = re.split(r"[.,] ", comment)[0]
    assert first in CODES or first.startswith(("Of a job", "Of one attempt"))
    assert "Example: " in comment


def test_errors_that_have_no_reason_of_their_own_are_given_one() -> None:
    without = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in {"NotFound", "FailedPrecondition"}
        and "reason" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not without
