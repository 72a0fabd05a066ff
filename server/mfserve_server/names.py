"""Finds the version that a request names."""

from __future__ import annotations

from typing import TypedDict

from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry.names import check_alias, check_model
from mfserve_server.catalog import Catalog
from mfserve_server.errors import under
from mfserve_server.loading import LoadedVersion


class Which(TypedDict):
    """The part of a ModelSpec that chooses a version, as the registry and the catalog take it."""

    version: int | None
    alias: str | None


def which(spec: ModelSpec) -> Which:
    choice = spec.WhichOneof("choice")
    return {
        "version": spec.version if choice == "version" else None,
        "alias": spec.alias if choice == "alias" else None,
    }


def held_version(catalog: Catalog, spec: ModelSpec, user_id: str = "") -> LoadedVersion | None:
    """The version that answers the user, where it is here already."""
    choice = spec.WhichOneof("choice")
    if choice == "version":
        return catalog.held(spec.model, version=spec.version)
    return catalog.held(spec.model, alias=spec.alias if choice == "alias" else None, user_id=user_id)


async def loaded_version(
    catalog: Catalog, spec: ModelSpec, *, field: str = "model_spec", user_id: str = ""
) -> LoadedVersion:
    """The version that answers.

    Args:
        user_id: of the user whom the call is about; "": it is about none, or several.

    Raises:
        InvalidArgument, NotFound, DamagedSnapshot, Unavailable: as ``Catalog.get``; fields begin with ``field``.
    """
    held = held_version(catalog, spec, user_id)
    if held is not None:
        return held
    with under(field):
        check_spec(spec)
        return await catalog.get(spec.model, **which(spec), user_id=user_id)


def check_spec(spec: ModelSpec) -> None:
    """InvalidArgument where a name is none."""
    check_model(spec.model)
    if spec.WhichOneof("choice") == "alias":
        check_alias(spec.alias)
