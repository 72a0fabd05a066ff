"""TLS: certificates that are replaced under way, and those that are refused."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry
from mfserve_registry.settings import SettingsError, StartError
from mfserve_server.security.certificates import BadCertificate, CertificateFiles, read_certificate
from mfserve_server.security.checks import check_security
from mfserve_server.security.files import LastGood
from mfserve_server.security.transport import Handshakes
from mfserve_server.settings import Settings
from tests.server.calls import DEADLINE
from tests.server.certificates import HOST, Authority
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import eventually, until

REQUEST = pb.RecommendRequest(model_spec=ModelSpec(model="movies"), user_id="u1")

UNKNOWN_KIND = "MA8CAQAwBQYDKgMEBAMEAQA="
"""A private key whose algorithm is 1.2.3.4."""
P256 = bytes.fromhex("2a8648ce3d030107")
"""The name of the curve of the keys that are made here."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "authority")
    authority.certify_server()
    return authority


def settings(authority: Authority, *, clients: Authority | None = None) -> dict[str, Any]:
    roots = {} if clients is None else {"tls_client_roots": clients.roots}
    return {"tls_certificate": authority.certificate, "tls_key": authority.key, **roots}


def connected(address: str, credentials: grpc.ChannelCredentials) -> AbstractAsyncContextManager[Any]:
    return grpc.aio.secure_channel(address, credentials)


async def answers(channel: grpc.aio.Channel) -> pb.RecommendResponse:
    stub: Any = RecommendationServiceStub(channel)
    response: pb.RecommendResponse = await stub.Recommend(REQUEST, timeout=DEADLINE)
    return response


async def refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(channel)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_with_a_certificate_only_those_who_trust_it_call(
    serve: MakeServer, registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    publish(registry)
    server = await serve(**settings(authority))
    async with connected(server.address, authority.channel_credentials()) as channel:
        assert (await answers(channel)).recommendations
    other = Authority(tmp_path / "other")
    async with connected(server.address, other.channel_credentials()) as channel:
        await refused(channel)
    await refused(server.channel)  # plain text


async def test_mutual_tls_asks_callers_for_a_certificate(
    serve: MakeServer, registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    publish(registry)
    clients, foreign = Authority(tmp_path / "clients"), Authority(tmp_path / "foreign")
    server = await serve(**settings(authority, clients=clients))
    async with connected(server.address, clients.channel_credentials("shop", trusts=authority)) as channel:
        assert (await answers(channel)).recommendations
    for credentials in (
        authority.channel_credentials(),
        foreign.channel_credentials("shop", trusts=authority),
        clients.channel_credentials("shop", trusts=authority, expired=True),
    ):
        async with connected(server.address, credentials) as channel:
            await refused(channel)


async def test_a_new_certificate_is_used_and_a_broken_one_is_not(
    serve: MakeServer, registry: Registry, authority: Authority
) -> None:
    publish(registry)
    before = authority.certificate.read_bytes()
    server = await serve(**settings(authority))
    assert await _shown(server.address) == before
    authority.certify_server()
    after = authority.certificate.read_bytes()
    assert await _shown(server.address) == after != before
    with capture_logs() as logs:
        authority.certify_server()
        await until(lambda: any(entry["event"] == "has a new certificate" for entry in logs))
    before, after = after, authority.certificate.read_bytes()
    assert await _shown(server.address) == after
    for broken in (b"", b"no certificate", before):  # the last one's key is another
        authority.certificate.write_bytes(broken)
        with capture_logs() as logs:
            for _ in range(2):
                assert await _shown(server.address) == after
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
            "goes on with the certificate it had"
        ]


def test_it_tells_when_what_it_shows_expires_whatever_becomes_of_the_files(authority: Authority) -> None:
    told: list[float] = []
    soon, later = (datetime(2090, month, 1, tzinfo=UTC) for month in (1, 2))
    authority.certify_server(expires=soon)
    handshakes = Handshakes(CertificateFiles(authority.certificate, authority.key), told.append)
    assert told == [soon.timestamp()]
    right = authority.key.read_bytes()
    for spoil in (
        lambda: authority.certify_server(expired=True),
        lambda: authority.key.write_bytes(right),  # of another certificate
        authority.key.unlink,
    ):
        spoil()
        with capture_logs() as logs:
            handshakes.look()
        assert [entry["log_level"] for entry in logs] == ["error"]
    authority.certify_server(expires=later)
    handshakes.look()
    assert told == [soon.timestamp(), later.timestamp()]


async def _shown(address: str) -> bytes:
    """The certificate chain's first, as PEM: what a caller sees who connects now."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return ssl.DER_cert_to_PEM_cert(shown).encode()


def test_files_that_no_server_can_use_are_told_apart(authority: Authority, tmp_path: Path) -> None:
    files = CertificateFiles(authority.certificate, authority.key, authority.roots)
    assert read_certificate(files).client_roots == authority.roots.read_bytes()
    other = Authority(tmp_path / "other")
    other.certify_server()
    missing, text = tmp_path / "missing.pem", tmp_path / "text.pem"
    text.write_text("hello")
    strange = tmp_path / "strange.pem"
    strange.write_text(f"-----BEGIN PRIVATE KEY-----\n{UNKNOWN_KIND}\n-----END PRIVATE KEY-----\n")
    curve = tmp_path / "curve.pem"
    der = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    curve.write_text(ssl.DER_cert_to_PEM_cert(der.replace(P256, P256[:-1] + b"\x77")))
    for bad, message in (
        (CertificateFiles(missing, authority.key), "cannot be read: No such file"),
        (CertificateFiles(text, authority.key), "has no certificate in PEM form"),
        (CertificateFiles(authority.certificate, text), "has no private key in PEM form"),
        (CertificateFiles(authority.certificate, strange), "has no private key in PEM form, of a known kind"),
        (CertificateFiles(curve, authority.key), "a key of no known kind"),
        (CertificateFiles(authority.certificate, other.key), "is not the key of the certificate"),
        (CertificateFiles(authority.certificate, authority.key, text), "has no certificate"),
    ):
        with pytest.raises(BadCertificate, match=message):
            read_certificate(bad)
    torn = tmp_path / "torn.pem"
    torn.write_bytes((authority.roots.read_bytes() + other.roots.read_bytes())[:-50])
    with pytest.raises(BadCertificate, match="breaks off in the middle"):
        read_certificate(CertificateFiles(authority.certificate, authority.key, torn))
    other.certify_server(expired=True)
    with pytest.raises(BadCertificate, match="expired at"):
        read_certificate(CertificateFiles(other.certificate, other.key))


def test_a_certificate_is_taken_when_it_becomes_valid(authority: Authority) -> None:
    files = CertificateFiles(authority.certificate, authority.key)
    served = LastGood(files.paths, partial(read_certificate, files))
    before = served.found.chain
    # Certificates know whole seconds.
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    after = authority.certify_server(begins=begins)
    with pytest.raises(BadCertificate, match=r"is valid from .* on"):
        served.look()
    assert not served.look()  # and says nothing
    assert served.found.chain == before
    eventually(served.look, "the certificate is taken", 30.0)
    assert served.found.chain == after
    assert datetime.now(UTC) >= begins


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"host": "0.0.0.0"}, SettingsError, "--plaintext where the network is trusted"),
        ({"host": "::"}, SettingsError, "--plaintext"),
        ({"tls_certificate": "server.pem"}, SettingsError, "go together"),
        ({"tls_key": "server.key"}, SettingsError, "go together"),
        ({"tls_client_roots": "roots.pem"}, SettingsError, "needs --tls-certificate"),
        ({"tls_certificate": "missing.pem", "tls_key": "server.key"}, StartError, "cannot be read"),
        ({"callers": "missing.toml"}, StartError, "cannot be read"),
    ],
)
def test_a_start_that_would_be_less_safe_than_asked_is_refused(
    home: Path, given: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_security(Settings.model_validate({"home": home, **given}))


def test_plain_text_is_for_this_machine_or_asked_for(home: Path, authority: Authority) -> None:
    for given in (
        {"host": HOST},
        {"host": "::1"},
        {"host": "0.0.0.0", "plaintext": True},
        {"host": "0.0.0.0", **settings(authority)},
    ):
        check_security(Settings.model_validate({"home": home, **given}))
