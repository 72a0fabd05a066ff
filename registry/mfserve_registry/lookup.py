"""Rows that must be there, and the errors where they are not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, select

from mfserve_registry.errors import NotFound
from mfserve_registry.names import check_alias, check_model
from mfserve_registry.tables import aliases, models, versions


def require_model(connection: Connection, model: str) -> Row[Any]:
    """The row of a model that is not deleted; NotFound MODEL_NOT_FOUND."""
    return _model(connection, model, _models(model))


def lock_model(connection: Connection, model: str) -> Row[Any]:
    """The same, and nobody else changes the model, its versions or its aliases until the transaction ends."""
    return _model(connection, model, _models(model).with_for_update())


def _models(model: str) -> Select[Any]:
    check_model(model)
    return select(models).where(models.c.name == model, models.c.deleted_at.is_(None))


def _model(connection: Connection, model: str, query: Select[Any]) -> Row[Any]:
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(
            f"There is no model {model}.", reason="MODEL_NOT_FOUND", field="model", metadata={"model": model}
        )
    return row


def require_version(connection: Connection, model: str, version: int, field: str = "version") -> Row[Any]:
    """The row of a version that is not deleted; NotFound MODEL_NOT_FOUND or VERSION_NOT_FOUND."""
    require_model(connection, model)
    row = connection.execute(
        select(versions).where(
            versions.c.model == model, versions.c.version == version, versions.c.deleted_at.is_(None)
        )
    ).first()
    if row is None:
        raise NotFound(
            f"Model {model} has no version {version}.",
            reason="VERSION_NOT_FOUND",
            field=field,
            metadata={"model": model, "version": str(version)},
        )
    return row


def require_alias(connection: Connection, model: str, alias: str) -> Row[Any]:
    """The row of an alias that is not deleted; NotFound MODEL_NOT_FOUND or ALIAS_NOT_FOUND."""
    check_alias(alias)
    require_model(connection, model)
    row = connection.execute(
        select(aliases).where(
            aliases.c.model == model, aliases.c.alias == alias, aliases.c.deleted_at.is_(None)
        )
    ).first()
    if row is None:
        raise NotFound(
            f"Model {model} has no alias {alias}.",
            reason="ALIAS_NOT_FOUND",
            field="alias",
            metadata={"model": model, "alias": alias},
        )
    return row
