"""What reaches a terminal, a pipe, and a reader that has gone."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from mfserve import Client
from mfserve_registry import Registry
from tests.client.cli.conftest import Run, command, environment
from tests.client.cli.reference import commands
from tests.integration.service import RunningService
from tests.server.samples import publish

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")

END = "\f"
ONE_BY_ONE = f"""
import json, sys
from mfserve.cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["mfserve", *line.split()]
    try:
        main()
    except SystemExit:
        print(end={END!r})
"""


def on_a_terminal(
    service: RunningService, *arguments: str, columns: int = 80, typed: str = "", **more: str
) -> str:
    """What a terminal so many columns wide receives from a command line, where somebody types this."""
    return shown_by(command(*arguments), service, columns, typed, **more)


def shown_by(program: list[str], service: RunningService, columns: int, typed: str = "", **more: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = environment(service.address, TERM="xterm-256color", **more)
    for name in ("COLUMNS", "FORCE_COLOR", *({"NO_COLOR"} - more.keys())):
        variables.pop(name, None)
    running = subprocess.Popen(program, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    received = b""
    try:
        while part := os.read(ours, 65536):
            received += part
    except OSError:
        pass  # how a terminal says that its last writer has gone
    os.close(ours)
    running.wait(timeout=60)
    return received.decode().replace("\r\n", "\n")


LINES = [
    *(
        "recommend movies 1",
        "similar movies i0",
        "models",
        "models movies",
        "versions movies",
        "alias movies",
    ),
    *("alias-history movies", "jobs", "status", "datasets", "--help"),
    *(f"{name} --help" for name in commands()),
]


@pytest.fixture(scope="module")
def shown(service: RunningService) -> dict[str, str]:
    """What a terminal of 80 columns receives from each command line, all run by one process."""
    received = shown_by([sys.executable, "-c", ONE_BY_ONE, json.dumps(LINES)], service, 80)
    return dict(zip(LINES, ESCAPE.sub("", received).split(END)[:-1], strict=True))


@pytest.mark.parametrize("line", LINES)
def test_80_columns_are_enough_and_nothing_is_cut(shown: dict[str, str], line: str) -> None:
    assert "…" not in shown[line]
    tables = [line for line in shown[line].splitlines() if "│" in line or "━" in line]
    assert tables
    assert max(map(len, tables)) <= 80


def test_a_job_id_can_be_copied_from_80_columns(service: RunningService, client: Client) -> None:
    shown = ESCAPE.sub("", on_a_terminal(service, "jobs"))
    assert all(job.job_id in shown for job in client.list_jobs())


def test_a_very_narrow_terminal_loses_nothing(service: RunningService) -> None:
    shown = ESCAPE.sub("", on_a_terminal(service, "versions", "movies", columns=40))
    assert re.search(r"^version +1\naliases +production\n", shown, re.MULTILINE)
    assert "│" not in shown


def test_a_narrow_terminal_breaks_no_word(service: RunningService) -> None:
    shown = ESCAPE.sub("", on_a_terminal(service, "similar", "movies", "i0", columns=40))
    (heading,) = (line for line in shown.splitlines() if "similarity" in line)
    assert [cell.strip() for cell in heading.split("┃")] == ["rank", "item", "title", "similarity"]
    assert max(map(len, shown.splitlines()[:-1])) <= 40


def test_the_bars_of_a_measurement_fit(service: RunningService) -> None:
    bench = ("bench", "movies", "--seconds", "0.1", "--warm-up", "0", "--only", "recommend")
    lines = ESCAPE.sub("", on_a_terminal(service, *bench, columns=40)).splitlines()
    bars = [line for line in lines if "█" in line]
    assert bars
    assert max(map(len, bars)) <= 40


def test_colours_are_for_terminals_only(service: RunningService, process: Run) -> None:
    assert COLOUR.search(on_a_terminal(service, "models", "nothing"))
    assert not COLOUR.search(on_a_terminal(service, "models", "nothing", NO_COLOR="1"))
    for arguments in (["versions", "movies", "1"], ["models", "nothing"], ["--help"], ["recommend"]):
        finished = process(*arguments, FORCE_COLOR="", GITHUB_ACTIONS="")
        assert "\x1b" not in finished.out + finished.err


def test_a_pipe_gets_lines_as_long_as_they_need_to_be(process: Run, client: Client) -> None:
    lines = process("jobs", COLUMNS="40").out.splitlines()
    assert sum("SUCCEEDED" in line for line in lines) == 2
    assert all(any(job.job_id in line and "movies" in line for line in lines) for job in client.list_jobs())


def test_a_pipe_gets_every_column_of_a_table_however_long_its_cells_are(process: Run, client: Client) -> None:
    (model,) = client.list_models()
    (alias,) = model.aliases
    reason = " ".join(["because"] * 60)
    client.set_alias(
        model.model, alias.alias, alias.targets[0].version, expected_revision=alias.revision, reason=reason
    )
    first, *_, last = process("alias-history", model.model, alias.alias, "--limit", "1").out.splitlines()[1:]
    assert first.split() == [
        "revision",
        "┃",
        "when",
        "┃",
        "action",
        "┃",
        "from",
        "┃",
        "to",
        "┃",
        "by",
        "┃",
        "reason",
    ]
    assert last.split()[0] == str(alias.revision + 1)
    assert last.endswith(reason)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_reader_will_do(process: Run, client: Client, encoding: str) -> None:
    user = client.get_embeddings("movies", "user").ids[0]
    table = process("recommend", "movies", user, PYTHONIOENCODING=encoding)
    told = process("recommend", "movies", user, "--json", PYTHONIOENCODING=encoding)
    assert (table.code, table.err, told.code, told.err) == (0, "", 0, "")
    titles = [item["title"] for item in json.loads(told.out)["items"]]
    assert titles == [item.title for item in client.recommend("movies", user)]
    assert any(not title.isascii() for title in titles)


def test_an_id_cannot_command_the_terminal_or_break_the_line(run: Run) -> None:
    shown = run("recommend", "movies", "\x1b[2J\nfake: line\u202e").out
    assert "Recommendations for user \\x1b[2J\\nfake: line\\u202e\n" in shown
    told = json.loads(run("predict", "movies", "a\nb", "[red]i0[/]", "--json").out)
    assert told["basis"] == "GLOBAL_MEAN"
    assert "item [red]i0[/] " in run("predict", "movies", "a\nb", "[red]i0[/]").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["models", "--json"],
        ["--help"],
        ["--version"],
        ["versions", "movies", "1", "--artifact", "training_curve.svg", "--output", "-"],
        ["datasets"],
        ["export", "movies", "1", "--output", "-"],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone_is_no_error_to_report(service: RunningService, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        command(*arguments),
        env=environment(service.address, MFSERVE_HOME=str(service.home)),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (finished.returncode, finished.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"]], ids=" ".join)
def test_a_full_disk_is_one_line(service: RunningService, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            command(*arguments),
            env=environment(service.address),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (finished.returncode, finished.stderr) == (1, b"error: No space left on device\n")


def test_a_path_that_is_no_text_is_written_and_named(process: Run, tmp_path: Path) -> None:
    target = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.npz")
    told = process("embeddings", "movies", "-o", target, "--json", PYTHONIOENCODING="utf-8:strict")
    assert told.code == 0, told.err
    assert json.loads(told.out)["path"] == target
    assert Path(target).is_file()


def test_a_deletion_asks_first(service: RunningService, registry: Registry) -> None:
    for seed in (1, 2):
        publish(registry, "asked", seed=seed)
    deletion = ("delete-version", "asked", "2")
    refused = on_a_terminal(service, *deletion, typed="n\n")
    assert "Delete version 2 of asked for good? [y/N]" in refused
    assert "nothing was deleted" in refused
    assert "asked version 2 deleted" in on_a_terminal(service, *deletion, typed="y\n")
    assert [version.version for version in registry.models.list_versions("asked").items] == [1]
    assert "asked for good?" not in on_a_terminal(service, "delete-version", "asked", "1", "--yes")


class Interrupted:
    """A terminal at which somebody presses Ctrl-C when asked."""

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_at_the_question_is_an_interruption(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    finished = run("delete-version", "movies", "1")
    assert (finished.code, finished.out) == (130, "")
