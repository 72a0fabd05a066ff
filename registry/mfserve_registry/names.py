"""The one place that says what a name may look like."""

from __future__ import annotations

import re

from mfserve_registry.errors import FailedPrecondition, InvalidArgument

PRODUCTION = "production"
LATEST = "latest"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}")

_NAME_RULE = "1 to 63 characters out of a-z, 0-9, '.', '_' and '-', of which the first is a letter or a digit"


def check_model(name: str, field: str = "model") -> str:
    """``name``, if it may name a model; InvalidArgument otherwise."""
    return _check(_NAME, name, field, f"A model's name is {_NAME_RULE}.")


def check_alias(name: str, field: str = "alias") -> str:
    """``name``, if it may be asked for as an alias (``latest`` may)."""
    return _check(_NAME, name, field, f"An alias is {_NAME_RULE}.")


def check_settable_alias(name: str, field: str = "alias") -> str:
    """``name``, if an alias of that name may be set.

    Raises:
        InvalidArgument: it is no name.
        FailedPrecondition: ALIAS_RESERVED for ``latest``, which always is the highest version.
    """
    check_alias(name, field)
    if name == LATEST:
        raise FailedPrecondition(
            f"The alias {LATEST} always names the highest version; it cannot be set.",
            reason="ALIAS_RESERVED",
            field=field,
            metadata={"alias": name},
        )
    return name


def check_request_id(request_id: str, field: str = "request_id") -> str:
    """``request_id``, if it is 1 to 128 visible ASCII characters."""
    return _check(_REQUEST_ID, request_id, field, "A request id is 1 to 128 visible ASCII characters.")


def check_artifact(name: str, media_type: str) -> None:
    """InvalidArgument unless both can be kept and sent in a header as they are."""
    _check(
        _FILE_NAME,
        name,
        "artifact.name",
        "An artifact's name is 1 to 128 letters, digits, '.', '_' and '-', of which the first is a letter or digit.",
    )
    _check(_MEDIA_TYPE, media_type, "artifact.media_type", "A media type looks like image/svg+xml.")


def _check(pattern: re.Pattern[str], value: str, field: str, rule: str) -> str:
    if not pattern.fullmatch(value):
        raise InvalidArgument(rule, field=field)
    return value
