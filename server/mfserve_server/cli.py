"""``mfserve serve``."""

from __future__ import annotations

import json
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mfserve_registry.commands import (
    ConfigFile,
    one_line,
    setting,
    settings_of,
    tell_of_data_roots,
    unopened,
    unusable,
)
from mfserve_registry.settings import StartError
from mfserve_registry.traces import require_traces
from mfserve_server.settings import Settings

_option = partial(setting, Settings)


def serve(  # noqa: PLR0917 - typer passes options by name
    home: Annotated[Path | None, _option("home")] = None,
    store_url: Annotated[str | None, _option("store_url")] = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[int | None, _option("port")] = None,
    tls_certificate: Annotated[Path | None, _option("tls_certificate")] = None,
    tls_key: Annotated[Path | None, _option("tls_key")] = None,
    tls_client_roots: Annotated[Path | None, _option("tls_client_roots")] = None,
    plaintext: Annotated[bool | None, _option("plaintext", "--plaintext/--no-plaintext")] = None,
    callers: Annotated[Path | None, _option("callers")] = None,
    metrics_port: Annotated[int | None, _option("metrics_port")] = None,
    health_port: Annotated[int | None, _option("health_port")] = None,
    workers: Annotated[int | None, _option("workers")] = None,
    trainer: Annotated[bool | None, _option("trainer", "--trainer/--no-trainer")] = None,
    data_roots: Annotated[str | None, _option("data_roots")] = None,
    reflection: Annotated[bool | None, _option("reflection", "--reflection/--no-reflection")] = None,
    drain_seconds: Annotated[float | None, _option("drain_seconds")] = None,
    reply_cache_bytes: Annotated[str | None, _option("reply_cache_bytes", metavar="<int>")] = None,
    max_shared_calls: Annotated[int | None, _option("max_shared_calls")] = None,
    otlp_endpoint: Annotated[str | None, _option("otlp_endpoint")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say in JSON when it is ready.")] = False,
) -> None:
    """Serves models, and trains them too unless told not to. Ends on Ctrl-C or SIGTERM when calls have ended."""
    flags = {
        "home": home,
        "store_url": store_url,
        "host": host,
        "port": port,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_roots": tls_client_roots,
        "plaintext": plaintext,
        "callers": callers,
        "metrics_port": metrics_port,
        "health_port": health_port,
        "workers": workers,
        "trainer": trainer,
        "data_roots": data_roots,
        "reflection": reflection,
        "drain_seconds": drain_seconds,
        "reply_cache_bytes": reply_cache_bytes,
        "max_shared_calls": max_shared_calls,
        "otlp_endpoint": otlp_endpoint,
        "log_level": log_level,
        "log_format": log_format,
    }
    with one_line("serve"):
        settings = settings_of("serve", Settings, flags, config)
        tell_of_data_roots("serve", settings)
        require_traces(settings)
        _run(settings, as_json=as_json)


def _run(settings: Settings, *, as_json: bool) -> None:
    # Imported here: `mfserve serve --help` needs no database.
    import asyncio

    # What only the workers import. Each of them would fail on it by itself.
    for library in ("grpc_health", "uvloop", *(["grpc_reflection"] if settings.reflection else [])):
        if find_spec(library) is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    from mfserve_registry.errors import InvalidArgument, RegistryError
    from mfserve_registry.logs import configure_logs
    from mfserve_server.children import NeverReady
    from mfserve_server.supervisor import Ready, Supervisor

    def announce(ready: Ready) -> None:
        if as_json:
            typer.echo(json.dumps({"address": ready.address, "pid": os.getpid(), "workers": ready.workers}))
        else:
            typer.echo(_sentence(settings, ready.address, len(ready.workers)))

    async def supervise() -> None:
        await Supervisor(settings, announce).run()

    configure_logs(settings, process="supervisor")
    try:
        asyncio.run(supervise())
    except OSError as error:
        raise StartError(unusable(error, settings.home)) from error
    except InvalidArgument:  # a setting that is wrong in itself
        raise
    except RegistryError as error:
        raise unopened(settings, error) from error
    except NeverReady as error:
        raise StartError(f"The server cannot start: {error} The log above says why.") from error


def _sentence(settings: Settings, address: str, workers: int) -> str:
    from importlib.metadata import version

    count = f"{workers} worker{'s' if workers != 1 else ''}"
    return f"mfserve {version('mfserve')} serves on {address} (home {settings.home}, {count})"
