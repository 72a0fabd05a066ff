"""``mfserve status``: what each server process holds."""

from __future__ import annotations

from mfserve.cli import _options as options
from mfserve.cli._output import as_json, line, plain, table, when
from mfserve.cli._server import Server
from mfserve.types import ServingVersion


def status(
    *,
    server: Server,
    json: options.Json = False,
) -> None:
    """Show the server processes and the versions that they hold."""
    with server.client() as client:
        found = client.serving_status()
    if json:
        as_json(found)
        return
    table(
        "Serving",
        ("server", "since", "model", "version#", "aliases", "state", "reason"),
        (
            (
                f"{server.host}:{server.pid}" + (" *" if server.server_id == found.answered_by else ""),
                server.start_time,
                held.served_version.model if held else None,
                held.served_version.version if held else None,
                ", ".join(held.aliases) if held else "nothing published yet",
                _state(held) if held else None,
                held.message if held else None,
            )
            for server in found.servers
            for held in server.versions or (None,)
        ),
    )
    line("* answered this call")
    if found.registry.lost_time is not None:
        lost, read = when(found.registry.lost_time), when(found.registry.read_time) or "no time"
        line(f"The registry has not answered it since {lost}: {plain(found.registry.message)}")
        line(f"Aliases answer from the versions that they named at {read}.")


def _state(held: ServingVersion) -> str:
    return f"{held.state.value}, {held.streams} streaming" if held.streams else held.state.value
