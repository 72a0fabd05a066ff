"""Tokens and certificates: what is sent, what is refused, and what is said where a connection does not come about."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from mfserve import AsyncClient, Client, Credentials
from mfserve._client import tokens
from mfserve._client.certificates import channel_credentials
from mfserve._client.credentials import VARIABLES
from mfserve.errors import UnauthenticatedError, UnavailableError
from tests.client.conftest import Connect, Serve
from tests.client.services import METHODS, fail
from tests.client.test_every_rpc import CALLS
from tests.mounted import Mounted
from tests.server.certificates import HOST, Authority

TOKEN = "s3cret-of-somebody"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


def told(behaviour: Callable[[Any, Any], Any], into: list[str]) -> Callable[[Any, Any], Any]:
    """A behaviour that also writes down who calls."""

    def call(request: Any, context: Any) -> Any:
        into.append(dict(context.invocation_metadata()).get("authorization", ""))
        return behaviour(request, context)

    return call


def delete(request: Any, context: Any) -> Any:
    return GetMessageClass(METHODS["DeleteModel"].output_type)()


@pytest.mark.parametrize("name", CALLS)
async def test_a_token_goes_with_every_call(serve: Serve, connect: Connect, name: str) -> None:
    def refuse(request: Any, context: Any) -> Any:
        fail(context, grpc.StatusCode.UNAUTHENTICATED, reason="UNAUTHENTICATED")

    shown: list[str] = []
    server = serve(**{name: told(refuse, shown)})
    with pytest.raises(UnauthenticatedError):
        await CALLS[name](connect(server.address, credentials=Credentials(token=TOKEN)))
    assert shown == [f"Bearer {TOKEN}"]


async def test_without_credentials_those_of_the_environment_are_shown(
    serve: Serve, connect: Connect, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    server = serve(DeleteModel=told(delete, shown))
    await connect(server.address).delete_model("movies")
    monkeypatch.setenv("MFSERVE_TOKEN_FILE", str(token_file))
    await connect(server.address).delete_model("movies")
    await connect(server.address, credentials=Credentials()).delete_model("movies")
    monkeypatch.setenv("MFSERVE_TOKEN_FILE", "")
    monkeypatch.setenv("MFSERVE_TOKEN", "other")
    await connect(server.address).delete_model("movies")
    assert shown == ["", f"Bearer {TOKEN}", "", "Bearer other"]


async def test_a_token_file_is_read_again_when_it_changes(
    serve: Serve, connect: Connect, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    shown: list[str] = []
    client = connect(
        serve(DeleteModel=told(delete, shown)).address, credentials=Credentials(token_file=token_file)
    )

    async def shows(token: str) -> None:
        await client.delete_model("movies")
        assert shown.pop() == f"Bearer {token}"

    await shows(TOKEN)
    put(token_file, "second")
    await shows("second")
    for useless in ("", "two words", None):  # half written, by mistake, or not there for a moment
        put(token_file, useless)
        await shows("second")
    put(token_file.with_name("third"), "third")
    token_file.symlink_to("third")  # noqa: ASYNC240 - blocks nobody
    await shows("third")


def put(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"token": TOKEN, "token_file": "t"}, "token and token_file are both given: leave out one"),
        ({"token": ""}, "token is no token: "),
        ({"token": f"{TOKEN}\n"}, "token is no token: "),
        ({"token": f"{TOKEN}é"}, "token is no token: "),
        ({"certificate": "c"}, "certificate and key go together: "),
        ({"key": "k"}, "certificate and key go together: "),
        ({"tls": False, "roots": "r"}, "roots, certificate and key are for TLS, which tls turns off"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        Credentials(**given)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("name", ["token", "token_file", "tls", "roots", "certificate", "key", "plaintext"])
def test_what_has_another_type_is_refused_by_name(name: str) -> None:
    given: dict[str, Any] = {name: TOKEN.encode()}
    with pytest.raises(TypeError, match=f"^{name} must be .*, not of type bytes$"):
        Credentials(**given)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_text_is_no_credentials(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"^credentials must be a Credentials, not of type str$"):
        kind("127.0.0.1:1", credentials=TOKEN)


def test_a_token_is_not_shown_by_repr() -> None:
    assert TOKEN not in repr(Credentials(token=TOKEN))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MFSERVE_TOKEN", "two words", "MFSERVE_TOKEN is no token"),
        ("MFSERVE_TOKEN_FILE", "/missing", "MFSERVE_TOKEN_FILE /missing cannot be read: No such file"),
        ("MFSERVE_TLS", "maybe", "MFSERVE_TLS must be true or false, not 'maybe'"),
        ("MFSERVE_TLS_ROOTS", "/missing", "MFSERVE_TLS_ROOTS /missing cannot be read"),
        ("MFSERVE_CLIENT_KEY", "/missing", "MFSERVE_CLIENT_CERTIFICATE and MFSERVE_CLIENT_KEY go together"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_wrong_with_a_variable_names_it(
    kind: Any, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"^{message}"):
        kind("127.0.0.1:1")


def test_files_that_are_not_what_they_are_for(token_file: Path, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    certificate, _ = authority.certify_client("shop")
    _, key = other.certify_client("shop")
    empty = tmp_path / "empty"
    empty.touch()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"roots": token_file}, f"roots {token_file} has no certificate in PEM form"),
        ({"roots": tmp_path}, f"roots {tmp_path} cannot be read: Is a directory"),
        ({"token_file": empty}, f"token_file {empty} holds no token"),
        ({"token_file": certificate}, f"token_file {certificate} holds no token"),
        ({"certificate": certificate, "key": key}, f"certificate {certificate} and key {key} are no"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            Client("127.0.0.1:1", credentials=Credentials(**given))


def test_a_certificate_that_is_replaced_meanwhile_goes_with_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pairs = [
        {"certificate": certificate.read_bytes(), "key": key.read_bytes()}
        for certificate, key in map(authority.certify_client, ("before", "after"))
    ]
    files = Mounted(tmp_path / "client", **pairs[0])
    credentials = Credentials(certificate=files["certificate"], key=files["key"])
    with ThreadPoolExecutor(1) as pool:
        for pair in islice(cycle(pairs), 300):
            replaced = pool.submit(files.replace, **pair)
            channel_credentials(credentials)  # refuses ones that do not belong together
            replaced.result()


LOCAL = [
    "127.0.0.1:1",
    "127.8.8.8:1",
    "localhost:1",
    "[::1]:1",
    "unix:/run/x",
    "ipv4:127.0.0.1:1",
    "dns:localhost:1",
]
ELSEWHERE = [
    "192.0.2.1:1",
    "localhost.example:1",
    "[2001:db8::1]:1",
    "ipv4:127.0.0.1:1,192.0.2.1:1",
    "dns:///recommender:1",
    "dns://192.0.2.1/localhost:1",
    "xds:///recommender",
]  # fmt: skip


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_leaves_the_machine_in_plain_text_only_where_that_is_asked_for(kind: Any) -> None:
    for address in LOCAL:
        kind(address, credentials=Credentials(token=TOKEN))
    for address in ELSEWHERE:
        kind(address, credentials=Credentials())
        kind(address, credentials=Credentials(token=TOKEN, tls=True))
        kind(address, credentials=Credentials(token=TOKEN, plaintext=True))
        told = (
            f"a token would go to {address} in plain text, for all on the way to read: give roots or tls, or "
        )
        with pytest.raises(ValueError, match=f"^{re.escape(told)}") as raised:
            kind(address, credentials=Credentials(token=TOKEN))
        assert TOKEN not in str(raised.value)


async def test_what_is_for_this_machine_goes_through_no_proxy(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    server = serve(DeleteModel=told(delete, shown))
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    await connect(server.address, credentials=Credentials(token=TOKEN)).delete_model("movies")
    assert shown == [f"Bearer {TOKEN}"]


# Handshakes


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "servers")


@pytest.fixture
def clients(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "clients")


def over_tls(
    serve: Serve,
    authority: Authority,
    *,
    clients: Authority | None = None,
    name: str = HOST,
    expired: bool = False,
) -> str:
    """The address of a server."""
    authority.certify_server(name, expired=expired)
    pair = (authority.key.read_bytes(), authority.certificate.read_bytes())
    roots = None if clients is None else clients.roots.read_bytes()
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=clients is not None)
    return serve(credentials, DeleteModel=delete).address


async def unreachable(client: Any) -> str:
    """What is said of a server that is there."""
    with pytest.raises(UnavailableError) as raised:
        await client.delete_model("movies")  # which gRPC does not try again
    return str(raised.value)


async def test_tls(serve: Serve, connect: Connect, authority: Authority) -> None:
    address = over_tls(serve, authority)
    await connect(address, credentials=Credentials(roots=authority.roots)).delete_model("movies")


async def test_mutual_tls(serve: Serve, connect: Connect, authority: Authority, clients: Authority) -> None:
    address = over_tls(serve, authority, clients=clients)

    def shown(certified: tuple[Path, Path] | None) -> Any:
        certificate, key = certified or (None, None)
        return connect(
            address, credentials=Credentials(roots=authority.roots, certificate=certificate, key=key)
        )

    await shown(clients.certify_client("shop")).delete_model("movies")
    assert "it may want a certificate of its callers (certificate, key)" in await unreachable(shown(None))
    for strange in (authority.certify_client("shop"), clients.certify_client("late", expired=True)):
        assert "it may not accept certificate" in await unreachable(shown(strange))


async def test_why_a_connection_does_not_come_about(
    serve: Serve, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    trusting = Credentials(roots=authority.roots)
    address = over_tls(serve, authority)
    assert "it may speak TLS, which roots or tls asks for" in await unreachable(connect(address))
    renamed = over_tls(serve, authority, name="recommender.example")
    assert "its certificate is for another name" in await unreachable(connect(renamed, credentials=trusting))
    other = connect(address, credentials=Credentials(roots=Authority(tmp_path / "other").roots))
    assert "from no authority that is trusted here, and roots names" in await unreachable(other)
    plain = serve(DeleteModel=delete).address
    assert "it answers in plain text" in await unreachable(connect(plain, credentials=trusting))
    expired = over_tls(serve, authority, expired=True)
    assert "its certificate has expired" in await unreachable(connect(expired, credentials=trusting))


@pytest.mark.parametrize("name", ["wait_ready", "StreamRecommend", "WatchTrainingJob"])
async def test_what_will_not_get_better_is_not_tried_again(
    serve: Serve, connect: Connect, authority: Authority, tmp_path: Path, name: str
) -> None:
    strange = Credentials(roots=Authority(tmp_path / "other").roots)
    client = connect(over_tls(serve, authority), credentials=strange)
    with pytest.raises(UnavailableError, match="from no authority that is trusted"):
        await (client.wait_ready(100.0) if name == "wait_ready" else CALLS[name](client))
