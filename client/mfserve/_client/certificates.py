"""The PEM files of a client."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from mfserve._client.credentials import Credentials, CredentialsError, contents


def channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    """What grpc takes. It would take anything, and then fail at every call.

    Raises:
        CredentialsError: a file is not there, or not what it is for.
    """
    roots = None if credentials.roots is None else _roots(Path(credentials.roots))
    if credentials.certificate is None or credentials.key is None:
        return grpc.ssl_channel_credentials(roots)
    certificate, key = _pair(Path(credentials.certificate), Path(credentials.key))
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _roots(file: Path) -> bytes:
    data = contents("roots", file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError("{roots} {file} has no certificate in PEM form", file=file) from error
    return data


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Both as they were checked, by their names: what is replaced meanwhile is read once more."""
    checked: tuple[bytes, bytes] | None = None
    fault: Exception | None = None
    while (pair := (contents("certificate", certificate), contents("key", key))) != checked:
        checked, fault = pair, _fault(certificate, key)
    if fault is not None:
        raise CredentialsError(
            "{certificate} {its} and {key} {own} are no certificate and its private key in PEM form without a password",
            its=certificate,
            own=key,
        ) from fault
    return pair


def _fault(certificate: Path, key: Path) -> Exception | None:
    try:
        # The password is asked for nowhere: an encrypted key is refused like any other that cannot be used.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError, as is that of a file which has just gone
        return error
    return None
