"""The server's port: with a certificate that is read again while it runs, or in plain text on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock

import grpc
import structlog

from mfserve_server.security.certificates import Certificate, CertificateFiles, read_certificate
from mfserve_server.security.files import BadFile, LastGood

_log = structlog.get_logger(__name__)


class Handshakes:
    """Certificates for the handshakes of one server process.

    The files are looked at now and then and when a caller connects, and read where they have changed. Ones that cannot
    be used (half of them are written, the key is another's) leave what was read last in place, and are told of once.

    Args:
        files: where they are.
        expires: told when the certificate expires that callers are shown, in seconds since 1970; also from a thread
            of gRPC's.

    Raises:
        BadCertificate: the files cannot be used now.
    """

    def __init__(self, files: CertificateFiles, expires: Callable[[float], None]) -> None:
        self._asks_callers = files.client_roots is not None
        self._files = LastGood(files.paths, partial(read_certificate, files))
        self._looking = Lock()
        self._given = self._files.found
        self._expires = expires
        self._expires(self._given.expires_at.timestamp())

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._given),
            self._fetch,  # type: ignore[arg-type] # the annotation lacks the None that gRPC documents
            require_client_authentication=self._asks_callers,
        )

    def look(self) -> None:
        """Reads the files again if they have changed."""
        with self._looking:
            try:
                if not self._files.look():
                    return
            except BadFile as error:
                _log.error("goes on with the certificate it had", message=str(error))
                return
            expires_at = self._files.found.expires_at
            self._expires(expires_at.timestamp())
        _log.info("has a new certificate", expires_at=expires_at.isoformat())

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC for each handshake, in a thread of its own; None: nothing has changed."""
        self.look()
        before, self._given = self._given, self._files.found
        return None if before is self._given else _configuration(self._given)


def _configuration(certificate: Certificate) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificate.key, certificate.chain)], certificate.client_roots
    )
