"""A server, as a client reaches it."""

from __future__ import annotations

from typing import Any

from mfserve._client.address import checked, is_local
from mfserve._client.certificates import channel_credentials
from mfserve._client.channel import channel_options
from mfserve._client.credentials import VARIABLES, Credentials, CredentialsError, called
from mfserve._client.tokens import Caller, Metadata
from mfserve._client.traces import trace_metadata


class Peer:
    """Where a server is, how it is spoken to, and who calls.

    Args:
        address: of the server.
        credentials: what it is shown.

    Raises:
        TypeError, ValueError: ``address`` is none, or the credentials cannot be used; also where a token would go to
            another machine in plain text.
    """

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = checked(address)
        self._caller = Caller(credentials)
        self._tls = channel_credentials(credentials) if credentials.speaks_tls else None
        self._is_local = is_local(address)
        if self._caller.has_token and not (self._tls or self._is_local or credentials.plaintext):
            raise CredentialsError(
                "a token would go to {address} in plain text, for all on the way to read: give {roots} or {tls}, or "
                "{plaintext} where the network is trusted",
                address=address,
            )
        if self._tls is None:
            self.when_closed = "it may speak TLS, which {roots} or {tls} asks for"
        elif credentials.certificate is None:
            self.when_closed = "it may want a certificate of its callers ({certificate}, {key})"
        else:
            self.when_closed = "it may not accept {certificate}: has it expired, or is its authority another?"

    @classmethod
    def of(cls, address: str, credentials: Credentials | None) -> Peer:
        """With the environment's credentials where none are given."""
        if credentials is None:
            with called(VARIABLES):
                return cls(address, Credentials.from_environment())
        if not isinstance(credentials, Credentials):
            # Without the value, which may be a token.
            raise TypeError(f"credentials must be a Credentials, not of type {type(credentials).__name__}")
        return cls(address, credentials)

    def metadata(self) -> Metadata:
        """What goes with every call."""
        return self._caller.metadata() + trace_metadata()

    def channel(self, kind: Any) -> Any:
        """A new channel.

        Args:
            kind: ``grpc`` or ``grpc.aio``.
        """
        if self._tls is not None:
            return kind.secure_channel(self.address, self._tls, options=channel_options())
        # A proxy is for the way to other machines: nothing for this one is shown to it.
        proxy = (("grpc.enable_http_proxy", 0),) if self._is_local else ()
        return kind.insecure_channel(self.address, options=(*channel_options(), *proxy))
