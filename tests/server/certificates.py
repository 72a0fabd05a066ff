"""Certificate authorities of our own, and the files that servers and callers have from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import trustme

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Authority:
    """A root, whose files lie in ``folder``."""

    folder: Path
    root: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root.cert_pem.write_to_path(self.roots)

    @property
    def roots(self) -> Path:
        return self.folder / "roots.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    def certify_server(
        self,
        name: str = HOST,
        *,
        expired: bool = False,
        expires: datetime | None = None,
        begins: datetime | None = None,
    ) -> bytes:
        """Writes a new certificate and key of the server; returns the certificate."""
        made = self.root.issue_cert(name, not_before=begins, not_after=_YESTERDAY if expired else expires)
        # The key first: whoever reads between the two finds that they do not belong together.
        made.private_key_pem.write_to_path(self.key)
        for number, blob in enumerate(made.cert_chain_pems):
            blob.write_to_path(self.certificate, append=number > 0)
        return made.cert_chain_pems[0].bytes()

    def certify_client(self, name: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Writes a caller's certificate for ``name`` and its key; returns where they are."""
        made = self.root.issue_cert(common_name=name, not_after=_YESTERDAY if expired else None)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made.private_key_pem.write_to_path(key)
        made.cert_chain_pems[0].write_to_path(certificate)
        return certificate, key

    def channel_credentials(
        self, name: str | None = None, *, trusts: Authority | None = None, expired: bool = False
    ) -> grpc.ChannelCredentials:
        """Of a caller who trusts this root, or another, with a certificate for ``name``, if not None."""
        roots = (trusts or self).roots.read_bytes()
        if name is None:
            return grpc.ssl_channel_credentials(roots)
        made = self.root.issue_cert(common_name=name, not_after=_YESTERDAY if expired else None)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return grpc.ssl_channel_credentials(roots, made.private_key_pem.bytes(), chain)


_YESTERDAY = datetime.now(UTC) - timedelta(days=1)
