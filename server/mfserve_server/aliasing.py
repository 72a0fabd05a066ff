"""What ModelService does with aliases. Blocks: for an executor."""

from __future__ import annotations

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Alias, AliasEvent, Page, Registry
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.names import PRODUCTION
from mfserve_server.checks import page_size_of
from mfserve_server.conversions.aliases import shadow_of, targets_of
from mfserve_server.conversions.times import moment


class AliasDesk:
    """Moves aliases and reads their history."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._aliases = registry.aliases

    def set(self, request: pb.SetAliasRequest) -> Alias:
        """Raises what ``Aliases.set`` does."""
        return self._aliases.set(
            request.model,
            request.alias,
            request.version or None,
            targets=targets_of(request),
            shadow=shadow_of(request),
            expected_revision=_expected_revision(request),
            reason=request.reason,
            actor=request.actor,
        )

    def promote(self, request: pb.PromoteModelVersionRequest) -> Alias:
        """Raises what ``Registry.promote`` does."""
        return self._registry.promote(
            request.model,
            request.version,
            request.alias if request.HasField("alias") else PRODUCTION,
            force=request.force,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
            reason=request.reason,
            actor=request.actor,
        )

    def delete(self, request: pb.DeleteAliasRequest) -> None:
        """Raises what ``Aliases.delete`` does."""
        self._aliases.delete(
            request.model,
            request.alias,
            expected_revision=_expected_revision(request),
            reason=request.reason,
            actor=request.actor,
        )

    def roll_back(self, request: pb.RollbackAliasRequest) -> Alias:
        """Raises what ``Aliases.roll_back`` does."""
        return self._aliases.roll_back(
            request.model,
            request.alias,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
            reason=request.reason,
            actor=request.actor,
        )

    def events(self, request: pb.ListAliasEventsRequest) -> Page[AliasEvent]:
        """Raises what ``Aliases.events`` does."""
        return self._aliases.events(
            request.model,
            request.alias,
            until=moment(request.until, "until") if request.HasField("until") else None,
            page_size=page_size_of(request.page_size),
            page_token=request.page_token,
        )


def _expected_revision(request: pb.SetAliasRequest | pb.DeleteAliasRequest) -> int:
    if not request.HasField("expected_revision"):
        raise InvalidArgument(
            "Say which revision the alias has; 0 where it must not exist yet.", field="expected_revision"
        )
    return request.expected_revision
