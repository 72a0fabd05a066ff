"""Files that are replaced as Kubernetes replaces those of a secret."""

from __future__ import annotations

from itertools import count
from pathlib import Path


class Mounted:
    """A folder of names that lead, by way of one link, to the files of one state; the link is what is replaced.

    Args:
        folder: where; made here.
        files: what they hold, by their names.
    """

    def __init__(self, folder: Path, **files: bytes) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._states = count()
        folder.mkdir()
        self.replace(**files)

    def __getitem__(self, name: str) -> Path:
        return self._folder / name

    def replace(self, **files: bytes) -> None:
        """All of these at once; those that are not named stay as they are."""
        self._files |= files
        state = self._folder / f"..{next(self._states)}"
        state.mkdir()
        for name, data in self._files.items():
            (state / name).write_bytes(data)
            if not self[name].is_symlink():
                self[name].symlink_to(Path("..data") / name)
        link = self._folder / "..data_tmp"
        link.symlink_to(state.name)
        link.replace(self._folder / "..data")

    def overwrite(self, name: str, data: bytes) -> None:
        """One of them, in place."""
        self._files[name] = data
        self[name].write_bytes(data)
