"""Rows that must be there, and the errors where they are not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from mfserve_registry.errors import NotFound
from mfserve_registry.names import check_alias, check_model
from mfserve_registry.tables import aliases, models, versions


def require_model(connection: Connection, model: str) -> Row[Any]:
    """The row of a model that is not deleted; NotFound MODEL_NOT_FOUND."""
    check_model(model)
    row = connection.execute(
        select(models).where(models.c.name == model, models.c.deleted_at.is_(None))
    ).first()
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
