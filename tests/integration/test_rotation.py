"""Certificates, their authority and tokens are replaced while many call: no call fails, and what is gone is refused."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from mfserve import Client, Credentials
from mfserve._client import tokens
from mfserve.errors import UnauthenticatedError, UnavailableError
from mfserve_registry import Registry
from mfserve_server.security.access import Caller
from mfserve_server.security.issuing import entry, new_token
from mfserve_server.security.scopes import Scope
from tests.integration.renewing import Callers, calls_to
from tests.integration.service import RunningService, running_service
from tests.mounted import Mounted
from tests.server.certificates import Authority
from tests.server.samples import publish
from tests.waiting import eventually

CONNECTIONS = 12
"""So many in a row reach both server processes, but for one time in two thousand, in which the test sees less."""


@dataclass
class World:
    """Server processes under load, and the files by which they and their callers know each other."""

    service: RunningService
    callers: Callers
    server: Mounted
    client: Mounted
    authority: Authority
    """Whose certificates both have."""

    def certificates_shown_to(self, files: Mounted) -> set[int | None]:
        """The serial numbers of what the server processes show; None: they and who has the files do not connect."""
        return {_shown_to(self.service.address, files) for _ in range(CONNECTIONS)}

    def renewed(self) -> set[int | None]:
        """The serial number of a new certificate that the server processes show from now on."""
        pair = server_pair(self.authority)
        self.server.replace(**pair)
        assert self.certificates_shown_to(self.client) == {serial(pair)}
        return {serial(pair)}

    def as_caller(self, files: Mounted, **more: Any) -> Client:
        return Client(self.service.address, credentials=credentials(files, **more))

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = (self.service.home / "service.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]  # gRPC's core writes there too

    def has_told(self, event: str) -> bool:
        return any(line["event"] == event for line in self.log)

    def until_it_knows(self, callers: int) -> None:
        """Until both processes have read that so many may call."""

        def both_know() -> bool:
            read = [line for line in self.log if line["event"] == "has read who may call"]
            return list({line["process"]: line["callers"] for line in read}.values()) == [callers, callers]

        eventually(both_know, f"both processes know {callers} callers")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("rotation")
    home = folder / "home"
    with Registry.open(home) as registry:
        publish(registry)
    authority = Authority(folder / "authority")
    roots = authority.roots.read_bytes()
    token, digest = new_token()
    server = Mounted(
        folder / "server", **server_pair(authority), roots=roots, callers=callers_file(first=digest)
    )
    client = Mounted(folder / "client", **client_pair(authority), roots=roots, token=token.encode())
    named = {
        "tls-certificate": "certificate",
        "tls-key": "key",
        "tls-client-roots": "roots",
        "callers": "callers",
    }
    flags = [f"--{flag}={server[name]}" for flag, name in named.items()]
    by_certificate, by_token = credentials(client), credentials(client, token_file=client["token"])
    with (
        pytest.MonkeyPatch.context() as patch,
        running_service(home, "--no-trainer", "--workers", "2", *flags) as service,
    ):
        patch.setattr(tokens, "LOOK_SECONDS", 0.0)  # a changed token goes with the next call
        with calls_to(service.address, by_certificate, by_token) as callers:
            yield World(service, callers, server, client, authority)


def test_a_renewed_certificate_is_shown_from_the_next_connection_on(world: World) -> None:
    for _ in range(3):
        world.renewed()
        world.callers.go_on()


def test_files_that_are_replaced_one_by_one_are_used_when_they_fit_again(world: World) -> None:
    before, after = world.renewed(), server_pair(world.authority)
    roots = world.authority.roots.read_bytes()
    for name, data in (
        ("roots", roots[:-100]),
        ("roots", roots),
        ("key", after["key"]),
        ("certificate", after["certificate"][:-100]),
        ("certificate", b""),
    ):
        world.server.overwrite(name, data)
        assert world.certificates_shown_to(world.client) == before
        world.callers.go_on()
    world.server.overwrite("certificate", after["certificate"])
    assert world.certificates_shown_to(world.client) == {serial(after)}
    world.callers.go_on()


def test_processes_that_are_replaced_meanwhile_start_when_the_files_fit(world: World) -> None:
    before, after = world.renewed(), server_pair(world.authority)
    world.server.overwrite("key", after["key"])
    world.service.process.send_signal(signal.SIGHUP)
    eventually(lambda: world.has_told("cannot serve"), "a new process has found that they do not fit")
    assert world.certificates_shown_to(world.client) == before
    world.server.overwrite("certificate", after["certificate"])
    eventually(lambda: world.has_told("has replaced its server processes"), "all are replaced")
    assert world.certificates_shown_to(world.client) == {serial(after)}
    world.callers.go_on()


def test_a_token_is_replaced_by_adding_the_new_one_first(world: World) -> None:
    former = world.client["token"].read_text()
    token, digest = new_token()
    known = world.server["callers"].read_bytes()
    world.server.replace(callers=known + b"\n" + caller("second", token_sha256=digest))
    world.until_it_knows(3)
    world.client.replace(token=token.encode())
    world.callers.go_on()
    world.server.replace(callers=callers_file(second=digest))
    world.until_it_knows(2)
    world.callers.go_on()
    with (
        world.as_caller(world.client, token=former) as client,
        pytest.raises(UnauthenticatedError, match="does not know the token"),
    ):
        client.recommend("movies", "u1")


def test_an_authority_is_replaced_by_trusting_both_meanwhile(world: World, tmp_path: Path) -> None:
    old, new = world.authority, Authority(tmp_path / "new")
    both = old.roots.read_bytes() + new.roots.read_bytes()
    for files in (world.server, world.client):
        files.replace(roots=both)
    world.callers.renew()
    pair = server_pair(new)
    world.server.replace(**pair)
    world.client.replace(**client_pair(new))
    world.callers.renew()
    for files in (world.server, world.client):
        files.replace(roots=new.roots.read_bytes())
    world.authority = new
    assert world.certificates_shown_to(world.client) == {serial(pair)}
    world.callers.renew()

    late = Mounted(tmp_path / "late", **client_pair(old), roots=both)
    assert world.certificates_shown_to(late) == {None}
    with (
        world.as_caller(late) as client,
        pytest.raises(UnavailableError, match="it may not accept certificate"),
    ):
        client.recommend("movies", "u1")
    distrustful = Mounted(tmp_path / "distrustful", **client_pair(new), roots=old.roots.read_bytes())
    with (
        world.as_caller(distrustful) as client,
        pytest.raises(UnavailableError, match="no authority that is trusted"),
    ):
        client.recommend("movies", "u1")


def _shown_to(address: str, files: Mounted) -> int | None:
    context = ssl.create_default_context(cafile=files["roots"])
    context.load_cert_chain(files["certificate"], files["key"])
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname=host) as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
            assert shown is not None
            # A server that lets us in speaks first. Until then we only know that we accept it.
            return x509.load_der_x509_certificate(shown).serial_number if tls.recv(1) else None
    except (ssl.SSLError, ConnectionError):
        return None


def serial(pair: dict[str, bytes]) -> int:
    return x509.load_pem_x509_certificate(pair["certificate"]).serial_number


def server_pair(authority: Authority) -> dict[str, bytes]:
    """A new certificate for the server, and its key."""
    authority.certify_server()
    return {"certificate": authority.certificate.read_bytes(), "key": authority.key.read_bytes()}


def client_pair(authority: Authority) -> dict[str, bytes]:
    certificate, key = authority.certify_client("shop")
    return {"certificate": certificate.read_bytes(), "key": key.read_bytes()}


def credentials(files: Mounted, **more: Any) -> Credentials:
    return Credentials(roots=files["roots"], certificate=files["certificate"], key=files["key"], **more)


def caller(name: str, **known_by: Any) -> bytes:
    return entry(Caller(name=name, scopes=frozenset({Scope.RECOMMEND}), **known_by)).encode()


def callers_file(**tokens: str) -> bytes:
    """Who has the certificate for shop, and who has a token whose hash is one of these."""
    known = [caller("shop", certificate="shop")]
    known += [caller(name, token_sha256=digest) for name, digest in tokens.items()]
    return b"\n".join(known)
