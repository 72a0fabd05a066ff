"""The asynchronous client's methods about aliases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from mfserve._client import aliases
from mfserve._client.aio_transport import AsyncTransport
from mfserve._client.aliases import Shadow, Targets
from mfserve._client.job import documented_as
from mfserve._client.sync_aliases import AliasMethods
from mfserve._types.aliases import Alias, AliasEvent


class AsyncAliasMethods:
    """A part of AsyncClient."""

    _transport: AsyncTransport
    _actor: str | None

    @documented_as(AliasMethods.set_alias)
    async def set_alias(
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
        call = aliases.set_alias(
            model, alias, version, targets, shadow, expected_revision, reason, self._actor
        )
        return await self._transport.unary(call, timeout)

    @documented_as(AliasMethods.promote)
    async def promote(
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
        call = aliases.promote(model, version, alias, expected_revision, reason, self._actor, force=force)
        return await self._transport.unary(call, timeout)

    @documented_as(AliasMethods.delete_alias)
    async def delete_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int,
        reason: str = "",
        timeout: float | None = None,
    ) -> None:
        call = aliases.delete_alias(model, alias, expected_revision, reason, self._actor)
        await self._transport.unary(call, timeout)

    @documented_as(AliasMethods.rollback_alias)
    async def rollback_alias(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> Alias:
        call = aliases.rollback_alias(model, alias, expected_revision, reason, self._actor)
        return await self._transport.unary(call, timeout)

    @documented_as(AliasMethods.list_alias_events)
    def list_alias_events(
        self,
        model: str,
        alias: str,
        *,
        until: datetime | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[AliasEvent]:
        return self._transport.paged(aliases.list_alias_events(model, alias, until, page_size), timeout)

    @documented_as(AliasMethods.alias_at)
    async def alias_at(
        self, model: str, alias: str, time: datetime, *, timeout: float | None = None
    ) -> AliasEvent | None:
        return await self._transport.unary(aliases.alias_at(model, alias, time), timeout)
