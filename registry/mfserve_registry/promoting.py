"""Moving an alias to a version that its gates let through: by the training that made it, or later."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from mfserve_registry.aliases import Alias, AliasAction, AliasState, AliasTarget, point
from mfserve_registry.aliases.checks import check_revision, check_texts
from mfserve_registry.aliases.moves import change, compare, current
from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.gates import GateReport, Promotion
from mfserve_registry.lookup import require_model
from mfserve_registry.models import version_of
from mfserve_registry.names import PRODUCTION, check_settable_alias


class Candidate(Protocol):
    """A version that is being published, by a training or an import.

    Attributes:
        model: the model that it becomes a version of.
        promote_to_alias: the alias that is to move to it, or None.
        actor: who moves it, for the history.
        gates: what they found, here or where an import comes from; None: they did not run, and the alias is moved
            whatever it names.
    """

    @property
    def model(self) -> str: ...
    @property
    def promote_to_alias(self) -> str | None: ...
    @property
    def actor(self) -> str: ...
    @property
    def gates(self) -> GateReport | None: ...


def settle_aliases(
    connection: Connection, candidate: Candidate, number: int, *, first: bool, now: datetime
) -> Promotion | None:
    """Moves the aliases that the new version gets, within the transaction that publishes it.

    A model's only version takes ``production`` unless a gate failed: an import brings what failed elsewhere. The alias
    that was asked for is moved where no gate failed and it still is as the gates saw it: what they let through beside
    one version says nothing beside another.

    Args:
        number: of the version.
        first: whether it is the only one of its model.
    """
    model, wanted, gates, actor = (
        candidate.model,
        candidate.promote_to_alias,
        candidate.gates,
        candidate.actor,
    )
    failed = gates is not None and gates.failed
    if first and wanted != PRODUCTION and not failed:
        reason = "The model's first version."
        action = AliasAction.FIRST_VERSION
        point(connection, model, PRODUCTION, number, action, now=now, reason=reason, actor=actor)
    if wanted is None:
        return None
    if gates is not None and (obstacle := _obstacle(connection, model, wanted, gates)):
        return Promotion(alias=wanted, promoted=False, reason=obstacle)
    reason = "The training asked for it."
    point(connection, model, wanted, number, AliasAction.PROMOTED, now=now, reason=reason, actor=actor)
    return Promotion(alias=wanted, promoted=True, reason="")


def _obstacle(connection: Connection, model: str, alias: str, gates: GateReport) -> str:
    """Why the alias stays where it is; empty: nothing is in the way."""
    if gates.failed:
        return " ".join(f"{result.gate} failed: {result.message}" for result in gates.failed)
    found = current(connection, model, alias)
    if (0 if found is None else found.revision) != gates.revision:
        return (
            f"The alias {alias} was changed while the new version was compared with what it named. "
            "Promote the version, or train again."
        )
    return ""


class Promoter:
    """Promotes versions that are published already."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promote(
        self,
        model: str,
        version: int,
        alias: str,
        *,
        force: bool,
        expected_revision: int | None,
        reason: str,
        actor: str,
    ) -> Alias:
        """See ``Registry.promote``."""
        check_settable_alias(alias)
        check_revision(expected_revision or 0)
        check_texts(reason, actor)
        if force and not reason.strip():
            raise InvalidArgument(
                "Say why the gates are to be passed over: the history keeps it.", field="reason"
            )
        with self._database.write() as connection:
            require_model(connection, model)
            gates = version_of(connection, model, version).gates
            failed = () if gates is None else gates.failed
            if failed and not force:
                raise FailedPrecondition(
                    f"Version {version} of model {model} failed gates: "
                    + " ".join(f"{result.gate}: {result.message}" for result in failed)
                    + " Promote it with force and a reason if it is to be served all the same.",
                    reason="GATES_FAILED",
                    field="version",
                    metadata={
                        "model": model,
                        "version": str(version),
                        "gates": ", ".join(result.gate for result in failed),
                    },
                )
            if expected_revision is not None:
                compare(model, alias, current(connection, model, alias), expected_revision)
            return change(
                connection,
                model,
                alias,
                AliasState((AliasTarget(version, 1),)),
                AliasAction.FORCED if failed else AliasAction.PROMOTED,
                now=self._database.now(),
                reason=reason,
                actor=actor,
            )
