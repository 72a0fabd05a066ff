"""The order of system calls that lets a published snapshot survive a loss of power."""

from __future__ import annotations

from pathlib import Path
from re import escape

from tests.programs import needs
from tests.registry.tracing import traced

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
    calls = "write,fsync,rename,renameat,renameat2"
    trace = traced(PUBLISH, str(home), calls=calls, log=tmp_path / "strace.log")
    name, digest = trace.output.split()
    staged = home / ".staging" / name
    files = [file.name for file in (root / digest).iterdir()]
    [renamed] = trace.positions(rf'rename.*"{escape(str(staged))}".*"{escape(str(root / digest))}"')
    synced = {file: trace.positions(rf"fsync\(\d+<{escape(str(staged / file))}>") for file in files}
    folder_synced = trace.first(rf"fsync\(\d+<{escape(str(staged))}>\)")
    root_synced = trace.first(rf"fsync\(\d+<{escape(str(root))}>\)")
    for file in files:
        [flushed] = synced[file]
        assert max(trace.positions(rf"write\(\d+<{escape(str(staged / file))}>")) < flushed
        assert flushed < folder_synced < renamed < root_synced
    assert synced["manifest.json"] == [max(max(each) for each in synced.values())]
