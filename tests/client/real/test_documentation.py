"""docs/sdk.md is run, block by block, against mfserve's own server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from tests.server.calls import Server

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python( waits)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def test_every_example_runs(server: Server, capsys: Any) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 10
    names: dict[str, Any] = {}

    def run() -> None:
        for waits, text in blocks:
            code = compile(text.replace("127.0.0.1:50051", server.address), str(PAGE), "exec")
            if not waits:  # for a trainer, of which there is none here
                exec(code, names)  # noqa: S102 - our own page

    await asyncio.to_thread(run)
    assert "INVALID_FIELD" in capsys.readouterr().out
