"""What a server's aliases named last, kept in its home for a start without the registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from mfserve_registry.aliases import ResolvedAlias
from mfserve_registry.database import name_in
from mfserve_registry.store.durable import sync_folder, write_durably
from mfserve_registry.store.staging import Staging

FILE_NAME = "served.json"

_log = structlog.get_logger(__name__)


class Record(BaseModel):
    """What the aliases named.

    Attributes:
        registry: its name, as the home tells it from others; another one's record is none.
        read_at: when the registry told it.
        aliases: each of them, with what it named.
    """

    model_config = ConfigDict(frozen=True)

    registry: str
    read_at: datetime
    aliases: tuple[ResolvedAlias, ...]


class RecordFile:
    """A home's record. Processes on one home may all write it: each writes the whole of what it answers from.

    Args:
        home: the folder.
        registry: name of the registry.
    """

    def __init__(self, home: Path, registry: str) -> None:
        self._path = home / FILE_NAME
        self._name = name_in(home, registry)
        # Earlier releases wrote the name of a file in the home with its whole path.
        self._names = {self._name, registry}

    def read(self) -> Record | None:
        """None where there is none, it is unreadable, or it is of another registry."""
        try:
            record = Record.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _log.warning("ignores an unreadable record", path=str(self._path), message=str(error))
            return None
        return record if record.registry in self._names else None

    def write(self, aliases: Sequence[ResolvedAlias]) -> None:
        """Replaces the record, durably, as a whole. A disk that fails leaves the old one."""
        record = Record(registry=self._name, read_at=datetime.now(UTC), aliases=tuple(aliases))
        try:
            self._replace(record.model_dump_json(indent=1))
        except OSError as error:
            _log.warning("cannot record what is served", path=str(self._path), message=str(error))

    def clean_staging(self, older_than: timedelta = timedelta(days=1)) -> None:
        """Removes what writers that were killed have left behind, if untouched for so long."""
        self._staging().clean(older_than)

    def _replace(self, text: str) -> None:
        staging = self._staging()
        staged = staging.stage()
        try:
            write_durably(staged, text.encode())
            staged.replace(self._path)
            sync_folder(self._path.parent)
        finally:
            staging.discard(staged)

    def _staging(self) -> Staging:
        """On the home's own file system, which that of a store need not be. Names are unique among machines too."""
        return Staging(self._path.parent / ".staging")
