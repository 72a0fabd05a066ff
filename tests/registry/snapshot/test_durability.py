"""The order of system calls that lets a published snapshot survive a loss of power.

Killing a process proves nothing here, because the page cache survives it. So the calls themselves are watched.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import needs

TRACE = ["strace", "-f", "-y", "-e", "trace=write,fsync,rename,renameat,renameat2"]

PUBLISH = """
import sys
from pathlib import Path
from mfserve_registry.snapshot import SnapshotStore, write_snapshot
from mfserve_registry.store import FolderStore
from tests.registry.snapshot.samples import random_content
store = SnapshotStore(FolderStore(Path(sys.argv[1])))
staged = store.stage()
digest = write_snapshot(staged, random_content(71))
store.commit(staged, digest)
print(staged.name, digest)
"""


@needs("strace")
def test_files_then_folder_then_rename_then_root(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "home" / "snapshots"
    log = tmp_path / "strace.log"
    run = subprocess.run(
        [*TRACE, "-o", str(log), sys.executable, "-c", PUBLISH, str(home)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )
    if run.returncode != 0 and "ptrace" in run.stderr:
        pytest.skip("this machine does not let a process be traced")
    assert run.returncode == 0, run.stderr
    name, digest = run.stdout.split()
    staged = home / ".staging" / name
    calls = log.read_text().splitlines()

    def positions(pattern: str) -> list[int]:
        return [line for line, call in enumerate(calls) if re.search(pattern, call)]

    files = [file.name for file in (root / digest).iterdir()]
    [renamed] = positions(rf'rename.*"{re.escape(str(staged))}".*"{re.escape(str(root / digest))}"')
    synced = {file: positions(rf"fsync\(\d+<{re.escape(str(staged / file))}>") for file in files}
    folder_synced = positions(rf"fsync\(\d+<{re.escape(str(staged))}>\)")
    root_synced = positions(rf"fsync\(\d+<{re.escape(str(root))}>\)")
    for file in files:
        [flushed] = synced[file]
        assert max(positions(rf"write\(\d+<{re.escape(str(staged / file))}>")) < flushed
        assert flushed < folder_synced[0] < renamed < root_synced[0]
    assert synced["manifest.json"] == [max(max(each) for each in synced.values())]
