"""A server that asks for certificates and tokens, and those who call it: with `mfserve token`, from end to end."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mfserve import Credentials
from mfserve._client.credentials import VARIABLES
from mfserve.errors import PermissionDeniedError, UnauthenticatedError
from mfserve_registry import Registry
from mfserve_server.security.access import Caller, read_access
from mfserve_server.security.issuing import append, new_token
from mfserve_server.security.scopes import Scope
from tests.client.cli.conftest import Finished, Run
from tests.client.conftest import Connect
from tests.client.test_every_rpc import COLUMNS
from tests.client.twins import listed
from tests.integration.service import RunningService, running_service
from tests.server.certificates import Authority
from tests.server.samples import PICTURE, publish
from tests.waiting import eventually


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a server and its callers are."""

    servers: Authority
    clients: Authority
    callers: Path
    token: Path
    """Of one who may train."""

    def credentials(self, name: str, **more: Any) -> Credentials:
        """Of somebody with a certificate for this name."""
        certificate, key = self.clients.certify_client(name)
        return Credentials(roots=self.servers.roots, certificate=certificate, key=key, **more)

    def options(self, name: str) -> list[str]:
        """The same for a command line."""
        certificate, key = self.clients.certify_client(name)
        roots = str(self.servers.roots)
        return ["--tls-roots", roots, "--certificate", str(certificate), "--key", str(key)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("credentials")
    servers = Authority(folder / "servers")
    servers.certify_server()
    callers = folder / "callers.toml"
    secret, digest = new_token()
    append(callers, Caller(name="shop", certificate="shop.example", scopes=frozenset({Scope.RECOMMEND})))
    append(callers, Caller(name="data", token_sha256=digest, scopes=frozenset({Scope.TRAIN})))
    token = folder / "token"
    token.write_text(f"{secret}\n")
    return Place(servers, Authority(folder / "clients"), callers, token)


@pytest.fixture(scope="module")
def service(place: Place) -> Iterator[RunningService]:
    """Known callers only, over mutual TLS."""
    home = place.callers.with_name("home")
    with Registry.open(home) as registry:
        publish(registry, "movies", seed=1, artifacts=[PICTURE])
    settings = {
        "MFSERVE_TLS_CERTIFICATE": place.servers.certificate,
        "MFSERVE_TLS_KEY": place.servers.key,
        "MFSERVE_TLS_CLIENT_ROOTS": place.clients.roots,
        "MFSERVE_CALLERS": place.callers,
    }
    with running_service(
        home, "--no-trainer", **{name: str(path) for name, path in settings.items()}
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


# The SDK


async def test_a_caller_is_known_by_a_certificate(
    service: RunningService, place: Place, connect: Connect
) -> None:
    client = connect(service.address, credentials=place.credentials("shop.example"))
    await client.wait_ready()
    assert len(await client.recommend("movies", "u1", limit=1)) == 1
    assert len(await listed(client.stream_recommend("movies", ["u1", "u2"]))) == 2
    with pytest.raises(PermissionDeniedError) as raised:
        await client.upload_dataset(COLUMNS)
    assert raised.value.reason == "SCOPE_MISSING"


async def test_a_caller_is_known_by_a_token(service: RunningService, place: Place, connect: Connect) -> None:
    client = connect(service.address, credentials=place.credentials("anybody", token_file=place.token))
    assert await client.ready()
    assert (await client.upload_dataset(COLUMNS)).rows == 1
    assert [model.model for model in await listed(client.list_models())] == ["movies"]
    job = await client.train("movies", dataset="movielens-100k")
    await client.cancel_job(job.job_id)
    assert (await client.get_artifact("movies", PICTURE.name)).data
    for call in (client.recommend("movies", "u1"), listed(client.stream_recommend("movies", ["u1"]))):
        with pytest.raises(PermissionDeniedError):
            await call


async def test_nobody_else_is_known(service: RunningService, place: Place, connect: Connect) -> None:
    for more in ({}, {"token": "a-guess"}):
        client = connect(service.address, credentials=place.credentials("anybody", **more))
        assert await client.ready()  # health is for everybody
        for call in (client.recommend("movies", "u1"), listed(client.stream_recommend("movies", ["u1"]))):
            with pytest.raises(UnauthenticatedError):
                await call


# The command line


def one_line(finished: Finished, says: str, code: int = 1) -> None:
    assert (finished.code, finished.out, finished.err.count("\n")) == (code, "", 1)
    assert says in finished.err


def test_options_and_variables_name_the_same(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [*place.options("anybody"), "--token-file", str(place.token)]
    for command in (["models"], ["versions", "movies", "1"], ["jobs", "--model", "movies"]):
        assert run(*command, *options, "--json").code == 0
    monkeypatch.setenv("MFSERVE_TOKEN", "a-guess")
    assert run("models", *options).code == 0  # what is typed counts
    monkeypatch.setenv("MFSERVE_TLS_ROOTS", options[1])
    monkeypatch.setenv("MFSERVE_CLIENT_CERTIFICATE", options[3])
    monkeypatch.setenv("MFSERVE_CLIENT_KEY", options[5])
    one_line(run("models"), "--token-file, MFSERVE_TOKEN_FILE or MFSERVE_TOKEN says who you are.")
    monkeypatch.setenv("MFSERVE_TOKEN", place.token.read_text().strip())
    assert run("models").code == 0
    one_line(run("status"), "it needs the scope admin. Another token may have it: ")


def test_bench_shows_them_too(run: Run, place: Place) -> None:
    options = place.options("shop.example")
    finished = run("bench", "movies", "--seconds", "0.1", "--warm-up", "0", "--json", *options)
    assert (finished.code, finished.err) == (0, "")
    assert json.loads(finished.out)["complete"]


def test_what_is_wrong_is_one_line(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, missing = place.options("anybody"), str(tmp_path / "missing")
    one_line(
        run("models", "--token-file", missing), f"--token-file {missing} cannot be read: No such file", 2
    )
    one_line(run("models", *good[:4]), "--certificate and --key go together", 2)
    elsewhere = ["--token-file", str(place.token), "--address", "recommender.example:50051"]
    one_line(run("models", *elsewhere), "give --tls-roots or --tls, or --plaintext where the network", 2)
    monkeypatch.setenv("MFSERVE_TLS_ROOTS", missing)
    one_line(run("models"), f"MFSERVE_TLS_ROOTS {missing} cannot be read", 2)


def test_a_handshake_that_fails_is_one_line(process: Run, place: Place, tmp_path: Path) -> None:
    # In processes of their own, where grpc would write its own lines to standard error.
    other = Authority(tmp_path / "other")
    for options, says in (
        ([], "it may speak TLS, which --tls-roots or --tls asks for"),
        (
            ["--tls-roots", str(place.servers.roots)],
            "it may want a certificate of its callers (--certificate, --key)",
        ),
        (
            ["--tls-roots", str(other.roots)],
            "from no authority that is trusted here, and --tls-roots names",
        ),
    ):
        one_line(process("delete-model", "movies", "--yes", *options), says)


# mfserve token


def test_a_new_token_is_known_to_running_servers(run: Run, place: Place) -> None:
    made = run("token", "late", "--scope", "recommend", "--model", "movies", "--append", str(place.callers))
    assert (made.code, made.err.count("\n")) == (0, 1)
    secret = made.out.strip()
    assert secret not in place.callers.read_text() + made.err
    file = place.token.with_name("late")
    file.write_text(secret)
    options = [*place.options("anybody"), "--token-file", str(file)]
    eventually(lambda: run("recommend", "movies", "u1", *options).code == 0, "the server has read the file")
    one_line(run("recommend", "other", "u1", *options), "may not do this for the model other")


def test_what_a_new_token_may_is_what_was_asked_for(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "callers.toml"
    made = run(
        *(
            "token",
            'shöp "1"',
            "--scope",
            "recommend",
            "--scope",
            "train",
            "--model",
            "movies",
            "--model",
            "books",
        ),
        *("--expires", "2099-01-01T12:00Z", "--calls-per-second", "2.5"),
    )
    assert made.code == 0
    file.write_text(made.err)
    [caller] = read_access(file).by_token.values()
    assert read_access(file).with_token(made.out.strip().encode()) == caller
    assert (caller.name, caller.scopes, caller.models) == (
        'shöp "1"',
        frozenset({Scope.RECOMMEND, Scope.TRAIN}),
        frozenset({"movies", "books"}),
    )
    assert (caller.expires, caller.calls_per_second) == (datetime(2099, 1, 1, 12, tzinfo=UTC), 2.5)


def test_callers_are_added_to_a_file_that_stays_whose_it_was(run: Run, tmp_path: Path) -> None:
    file, link = tmp_path / "callers.toml", tmp_path / "link"
    link.symlink_to(file)

    def add(name: str) -> Finished:
        return run("token", name, "--scope", "admin", "--append", str(link))

    assert add("ann").code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    file.write_text(f"# Ours.\n{file.read_text()}")
    assert add("bob").code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    before = file.read_text()
    assert before.startswith("# Ours.\n")
    assert read_access(file).names == {"ann", "bob"}
    one_line(add("ann"), "has a caller ann already")
    assert file.read_text() == before
    file.write_text("callers = 1")
    one_line(add("cid"), "callers")
    assert file.read_text() == "callers = 1"
    assert {path.name for path in tmp_path.iterdir()} == {"callers.toml", "link"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["", "--scope", "admin"], "NAME must be"),
        (["a\nb", "--scope", "admin"], "NAME must be"),
        (["ann", "--scope", "admin", "--expires", "soon"], "--expires soon: expected a time"),
        (["ann", "--scope", "admin", "--expires", "2020-01-01"], "is over already"),
        (["ann", "--scope", "admin", "--model", "Movies!"], "A model's name is"),
    ],
)
def test_a_token_for_nobody_is_refused(run: Run, arguments: list[str], says: str) -> None:
    one_line(run("token", *arguments), says, 2)
