"""Connections that do not come about because of TLS: why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mfserve._client.credentials import ARGUMENTS
from mfserve.errors import UnavailableError

_CERTAIN = (
    (
        "WRONG_VERSION_NUMBER",
        "it answers in plain text: leave out what is for TLS ({tls}, {roots}, {certificate})",
    ),
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet: compare the clocks"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate comes from no authority that is trusted here, and {roots} names those that are",
    ),
    ("Hostname Verification Check failed", "its certificate is for another name than the address has"),
)
"""Words in what gRPC says, and what they mean. The same happens again however often one calls."""

# Of a connection that ended before any call could be made on it. A server that is about to go does so too.
_CLOSED = re.compile(r"last error: .*(Socket closed|Connection reset)")


class HandshakeError(UnavailableError):
    """The server is there, and lets nobody in who comes like this.

    Attributes:
        is_certain: whether it will be the same the next time.
    """

    def __init__(self, template: str, address: str, *, is_certain: bool) -> None:
        super().__init__(template.format(address=address, **ARGUMENTS))
        self._template, self._address = template, address
        self.is_certain = is_certain

    def told(self, names: Mapping[str, str]) -> str:
        """The message, with these names for the fields of the credentials."""
        return self._template.format(address=self._address, **names)


def handshake_error(details: str, address: str, when_closed: str) -> HandshakeError | None:
    """The error for a call that did not reach its server; None where TLS has nothing to do with it.

    Args:
        details: what gRPC says.
        address: the server's.
        when_closed: what may be why it closes connections.
    """
    for words, meaning in _CERTAIN:
        if words in details:
            return HandshakeError(
                f"the server at {{address}} cannot be called: {meaning}", address, is_certain=True
            )
    if _CLOSED.search(details):
        template = f"the server at {{address}} closes the connection before a call can be made: {when_closed}"
        return HandshakeError(template, address, is_certain=False)
    return None
