"""Wrong input gets one clear line on standard error, an exit code that means something, and no traceback."""

from __future__ import annotations

import socket

import pytest

from tests.client.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recommend", "nothing", "1"], "nothing"),
        (["recommend", "movies", "1", "--version", "99"], "99"),
        (["recommend", "movies", "1", "--alias", "candidates"], "candidates"),
        (["recommend", "movies", ""], "user_id"),
        (["recommend", "movies"], "either USER or --history"),
        (["recommend", "movies", "1", "--history", "2=3"], "either USER or --history"),
        (["recommend", "movies", "--history", "2:3"], "ITEM=RATING"),
        (["recommend", "movies", "1", "--version", "1", "--alias", "production"], "not both"),
        (["similar", "movies", "no-such-item"], "item"),
        (["versions", "nothing"], "nothing"),
        (["versions", "movies", "--output", "x"], "--artifact"),
        (["versions", "movies", "1", "--artifact", "no.svg"], "artifact"),
        (["alias", "movies", "latest", "1"], "latest"),
        (["alias", "movies", "candidate"], "MODEL ALIAS VERSION"),
        (["jobs", "no-such-job"], "job"),
        (["jobs", "--wait"], "need the id"),
        (["jobs", "x", "--wait", "--cancel"], "not both"),
        (["jobs", "--state", "asleep"], "asleep"),
        (["embeddings", "movies", "--output", "x.csv"], ".npz or .parquet"),
        (["embeddings", "movies", "--output", "/no/such/folder/x.npz"], "cannot write"),
        (["train", "movies", "no-such-data-set"], "movielens-100k"),
        (["train", "Movies!", "movielens-100k"], "model"),
        (["train", "movies", "/etc/passwd"], "--data-roots"),
        (["train", "movies", "movielens-100k", "--epochs", "3"], "--engine als has no epochs"),
        (
            ["train", "movies", "movielens-100k", "--engine", "keras", "--iterations", "3"],
            "has no iterations",
        ),
        (
            ["train", "movies", "movielens-100k", "--ranking", "none", "--ranking-factors", "3"],
            "--ranking none",
        ),
        (["train", "movies", "movielens-100k", "--split", "none", "--holdout", "0.1"], "--split none"),
        (["train", "movies", "movielens-100k", "--scale", "five"], "LOWEST:HIGHEST"),
        (["train", "movies", "movielens-100k", "--factors", "0"], "spec.als.factors"),
        (["train", "movies", "movielens-100k", "--promote-to", "latest"], "latest"),
    ],
)
def test_refused_with_one_line(run: Run, arguments: list[str], says: str) -> None:
    finished = run(*arguments)
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1
    assert says in finished.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend"],
        ["recommend", "movies", "1", "--limit", "0"],
        ["recommend", "movies", "1", "--limit", "1001"],
        ["recommend", "movies", "1", "--ranking-head", "both"],
        ["train", "movies"],
        ["train", "movies", "movielens-100k", "--engine", "svd"],
        ["no-such-command"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.code, finished.out) == (2, "")
    assert "Usage:" in finished.err
    assert "Traceback" not in finished.err


def test_unreachable_server_is_one_line(run: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        finished = run("models", "--address", address, "--timeout", "5")
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith(f"error: the server at {address} cannot be reached")
    assert finished.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "movies", "movielens-100k", "--seed", "9" * 24],
        ["train", "movies", "movielens-100k", "--factors", "9" * 12],
        ["recommend", "movies", "1", "--version", "9" * 20],
        ["recommend", "movies", "\udcff"],
    ],
)
def test_what_no_message_can_carry_is_one_line_too(run: Run, arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.startswith("error: an argument cannot be sent: ")
    assert finished.err.count("\n") == 1
