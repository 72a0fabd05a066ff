"""Whether the servers answer from what an alias was just made to name."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from mfserve import Client
from mfserve.cli._errors import describe
from mfserve.cli._output import plain, say
from mfserve.errors import MfserveError
from mfserve.types import Alias, ServingState, ServingStatus

PATIENCE_SECONDS = 5.0
"""A server looks for changed aliases every half second, and loads what is not large in this time."""
_PAUSE_SECONDS = 0.1
_NOT_YET = "not yet; `mfserve status` tells when it does"


def tell_unless_followed(client: Client, model: str, alias: Alias) -> None:
    """Waits a while for every server process, and tells on standard error of those that do not follow, and why.

    A version is first tried by a server when an alias names it: whether it is damaged, nobody can tell before.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    try:
        while (left := _behind(client.serving_status(), model, alias)) and time.monotonic() < ends:
            time.sleep(_PAUSE_SECONDS)
    except MfserveError as error:
        say(f"Whether the servers follow is not known: {describe(error)}")
        return
    for (version, reason), servers in left.items():
        say(f"[red]version {version} does not answer[/] on {plain(', '.join(servers))}: {plain(reason)}")


def _behind(status: ServingStatus, model: str, alias: Alias) -> Mapping[tuple[int, str], Sequence[str]]:
    """The versions that do not answer, each with the reason, and the server processes on which it does not."""
    targets = {target.version for target in alias.targets}
    shadow = set() if alias.shadow is None else {alias.shadow.version}
    found: dict[tuple[int, str], list[str]] = {}
    for server in status.servers:
        held = {
            one.served_version.version: one for one in server.versions if one.served_version.model == model
        }
        answering = {version for version, one in held.items() if alias.alias in one.aliases}
        loaded = {version for version, one in held.items() if one.state is ServingState.AVAILABLE}
        for version in sorted((targets - answering) | (shadow - loaded)):
            reason = held[version].message if version in held else ""
            found.setdefault((version, reason or _NOT_YET), []).append(f"{server.host}:{server.pid}")
    return found
