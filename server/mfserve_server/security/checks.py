"""What the parent looks at before it starts anything."""

from __future__ import annotations

import ipaddress

from mfserve_registry.settings import SettingsError, StartError
from mfserve_server.security.access import read_access
from mfserve_server.security.certificates import CertificateFiles, read_certificate
from mfserve_server.security.files import BadFile
from mfserve_server.settings import Settings


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """None: the settings name none. SettingsError where they name a part."""
    if settings.tls_certificate is None or settings.tls_key is None:
        if settings.tls_certificate or settings.tls_key:
            raise SettingsError(
                "A certificate and its key go together: give --tls-certificate and --tls-key."
            )
        if settings.tls_client_roots is not None:
            raise SettingsError("--tls-client-roots needs --tls-certificate and --tls-key.")
        return None
    return CertificateFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_roots)


def check_security(settings: Settings) -> None:
    """Looks whether a server can be started that is as safe as the settings say.

    Args:
        settings: with the numeric address that was found.

    Raises:
        SettingsError: they do not say how it is to be safe.
        StartError: a file that they name cannot be used.
    """
    try:
        if (files := certificate_files(settings)) is not None:
            read_certificate(files)
        elif not settings.plaintext and not ipaddress.ip_address(settings.host).is_loopback:
            raise SettingsError(
                f"{settings.host} can be reached from other machines, and without TLS whoever is on the way can read "
                "and change calls: give --tls-certificate and --tls-key, or --plaintext where the network is trusted."
            )
        if settings.callers is not None:
            read_access(settings.callers)
    except BadFile as error:
        raise StartError(str(error)) from error
