"""One line for what went wrong, and what to do about it."""

from __future__ import annotations

from mfserve._client.handshakes import HandshakeError
from mfserve.cli._fields import as_typed
from mfserve.cli._output import plain
from mfserve.cli._server import OPTIONS
from mfserve.errors import DeadlineExceededError, StatusError, UnavailableError

_BY_FIELD = {
    "dataset.builtin.name": "A file is told from a name by a slash or an ending, such as ./ratings or ratings.csv, "
    "or by --format.",
}
_BY_REASON = {
    "MODEL_NOT_FOUND": "`mfserve models` lists the models.",
    "VERSION_NOT_FOUND": "`mfserve versions MODEL` lists the versions.",
    "ALIAS_NOT_FOUND": "`mfserve alias MODEL` lists the aliases.",
    "JOB_NOT_FOUND": "`mfserve jobs` lists the jobs.",
    "ARTIFACT_NOT_FOUND": "`mfserve versions MODEL VERSION` lists the files.",
    "REVISION_MISMATCH": "`mfserve alias MODEL` shows the revision.",
    "HEAD_MISSING": "`mfserve versions MODEL VERSION` shows the engines.",
    "UNAUTHENTICATED": "--token-file, MFSERVE_TOKEN_FILE or MFSERVE_TOKEN says who you are.",
    "SCOPE_MISSING": "Another token may have it: --token-file, MFSERVE_TOKEN_FILE or MFSERVE_TOKEN.",
}


def describe(error: Exception) -> str:
    """One line of markup that says what is wrong and what to do."""
    told = error.told(OPTIONS) if isinstance(error, HandshakeError) else str(error)
    message = as_typed(" ".join(told.split()))
    advice = _advice(error)
    return plain(f"{message.removesuffix('.')}. {advice}" if advice else message)


def _advice(error: Exception) -> str:
    if not isinstance(error, StatusError):
        return ""
    for violation in error.field_violations:
        if advice := _BY_FIELD.get(violation.field):
            return advice
    if error.reason:
        return _BY_REASON.get(error.reason, "")
    # Without a reason it was the network that answered, not mfserve.
    if isinstance(error, HandshakeError):
        return ""  # it says itself what to do
    if isinstance(error, UnavailableError):
        return "Is `mfserve serve` running there? --address or MFSERVE_ADDRESS names another server."
    if isinstance(error, DeadlineExceededError):
        return "--timeout waits longer."
    return ""
