"""mfserve's own server, over a registry with one published version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfserve_registry import Registry
from mfserve_registry.snapshot import SnapshotContent
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server
from tests.server.conftest import MakeServer, home, registry, serve
from tests.server.samples import FACTS, publish

__all__ = ["home", "registry", "serve"]


@pytest.fixture
def content() -> SnapshotContent:
    return replace(random_content(3, users=300, items=40), facts=FACTS)


@pytest.fixture
async def server(serve: MakeServer, registry: Registry, content: SnapshotContent) -> Server:
    publish(registry, content=content)
    return await serve()
