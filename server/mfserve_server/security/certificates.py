"""The files of a server's certificate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mfserve_server.security.files import BadFile

if TYPE_CHECKING:
    from cryptography import x509


class BadCertificate(BadFile):
    """Files that no server can use."""


class NotYetValid(BadCertificate):
    """A certificate that is for later."""

    may_pass = True


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files.

    Attributes:
        certificate: the server's, then those that lead to a root that callers trust.
        key: the certificate's private key, without a password.
        client_roots: those that callers' certificates must lead to; None: callers need none.
    """

    certificate: Path
    key: Path
    client_roots: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.certificate, self.key, self.client_roots) if path is not None)


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """What the files held when they were read.

    Attributes:
        chain, key, client_roots: their bytes.
        expires_at: when the server's certificate does.
    """

    chain: bytes
    key: bytes
    client_roots: bytes | None
    expires_at: datetime


def read_certificate(files: CertificateFiles) -> Certificate:
    """Reads the files, and checks that a server can use them and that they belong together. BadCertificate."""
    # Imported here: who serves in plain text does not wait for it.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    chain, key = _read(files.certificate), _read(files.key)
    certificate = _certificates(files.certificate, chain)[0]
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it needs a password
        raise BadCertificate(
            f"{files.key} has no private key in PEM form, of a known kind and without a password."
        ) from error
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCertificate(f"The certificate in {files.certificate} has a key of no known kind.") from error
    ours, theirs = (
        each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in (private.public_key(), public)
    )
    if ours != theirs:
        raise BadCertificate(f"{files.key} is not the key of the certificate in {files.certificate}.")
    valid_from, expires_at, now = (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        datetime.now(UTC),
    )
    if valid_from > now:
        raise NotYetValid(
            f"The certificate in {files.certificate} is valid from {valid_from.isoformat()} on."
        )
    if expires_at <= now:
        raise BadCertificate(f"The certificate in {files.certificate} expired at {expires_at.isoformat()}.")
    roots = None
    if files.client_roots is not None:
        roots = _read(files.client_roots)
        _certificates(files.client_roots, roots)
    return Certificate(chain, key, roots, expires_at)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{path} cannot be read: {error.strerror}.") from error


def _certificates(path: Path, data: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    # What follows the last whole certificate would be passed over: half of a file that is just being written.
    if data.count(b"-----BEGIN ") != data.count(b"-----END "):
        raise BadCertificate(f"{path} breaks off in the middle.")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise BadCertificate(f"{path} has no certificate in PEM form.") from error
