"""The client's methods about aliases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mfserve._client import aliases
from mfserve._client.aliases import Shadow, Targets
from mfserve._client.sync_transport import Transport
from mfserve._types.aliases import Alias, AliasEvent


class AliasMethods:
    """A part of Client."""

    _transport: Transport
    _actor: str | None

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int | None = None,
        *,
        targets: Targets | None = None,
        shadow: Shadow | None = None,
        expected_revision: int,
        reason: str = "",
        timeout: float | None = None,
    ) -> Alias:
        """Points an alias to versions, if nobody has changed it since it was read.

        An answer that is lost is not asked for again, because the change may have been made: after
        UnavailableError, read the alias with ``get_model``. The same holds for the other methods that change something.

        Args:
            model: name of the model.
            alias: name of the alias.
            version: the one version that it is to name; or else
            targets: up to 10 versions with their weights, such as ``{3: 90, 4: 10}``; a version's share of the users is
                its weight over the sum of all, and each user stays with one version.
            shadow: a further version to ask beside them, and its share of the users, such as ``(5, 0.1)``; None: none,
                also where there was one.
            expected_revision: the revision that it has, or 0: it must not exist yet.
            reason: why, for the alias's history.
            timeout: seconds.

        Raises:
            AbortedError: it has another revision: read again and decide again.
        """
        call = aliases.set_alias(
            model, alias, version, targets, shadow, expected_revision, reason, self._actor
        )
        return self._transport.unary(call, timeout)

    def promote(
        self,
        model: str,
        version: int,
        alias: str = "production",
        *,
        force: bool = False,
        expected_revision: int | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> Alias:
        """Points an alias to one version, unless promotion gates failed when it was published.

        Args:
            model: name of the model.
            version: its number.
            alias: name of the alias, which need not exist yet.
            force: promote it although gates failed; then ``reason`` is required.
            expected_revision: the revision that the alias has; 0: it does not exist yet; None: whatever it has.
            reason: why, for the alias's history.
            timeout: seconds.

        Raises:
            FailedPreconditionError: ``GATES_FAILED``; its message has what they found.
            InvalidArgumentError: ``force`` without a reason.
            AbortedError: the alias has another revision.
            NotFoundError: there is no such model or version.
        """
        call = aliases.promote(model, version, alias, expected_revision, reason, self._actor, force=force)
        return self._transport.unary(call, timeout)

    def delete_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int,
        reason: str = "",
        timeout: float | None = None,
    ) -> None:
        """Takes an alias away, if nobody has changed it since it was read. Its history stays.

        Raises:
            AbortedError: it has another revision than ``expected_revision``.
            NotFoundError: it is not there.
        """
        call = aliases.delete_alias(model, alias, expected_revision, reason, self._actor)
        self._transport.unary(call, timeout)

    def rollback_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> Alias:
        """Points an alias to what it named before: versions, weights and shadow. Again, it goes further back.

        Args:
            model: name of the model.
            alias: name of the alias.
            expected_revision: the revision that it has; None: whatever it has.
            reason: why, for the alias's history.
            timeout: seconds.

        Raises:
            FailedPreconditionError: it never named anything else, or a version of what it named is deleted.
            AbortedError: it has another revision.
        """
        call = aliases.rollback_alias(model, alias, expected_revision, reason, self._actor)
        return self._transport.unary(call, timeout)

    def list_alias_events(
        self,
        model: str,
        alias: str,
        *,
        until: datetime | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[AliasEvent]:
        """The changes of an alias, the newest first, page by page as they are read; also after its deletion.

        Args:
            model: name of the model.
            alias: name of the alias.
            until: only those up to this moment, which has a time zone; None: all.
            page_size: events per call, 1 to 1000; 0: the server's default.
            timeout: seconds for each call.
        """
        return self._transport.paged(aliases.list_alias_events(model, alias, until, page_size), timeout)

    def alias_at(
        self, model: str, alias: str, time: datetime, *, timeout: float | None = None
    ) -> AliasEvent | None:
        """The change that made an alias what it was at a time, which has a time zone.

        Its ``after`` is what the alias then named. None: it did not exist then. NotFoundError: it never did.
        """
        return self._transport.unary(aliases.alias_at(model, alias, time), timeout)
