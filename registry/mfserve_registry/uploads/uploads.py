"""The uploads of a registry."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select

from mfserve_registry.database import Database
from mfserve_registry.errors import AlreadyExists, DamagedSnapshot, InvalidArgument, NotFound, Unavailable
from mfserve_registry.names import check_request_id
from mfserve_registry.ownership import Ownership
from mfserve_registry.store import Held, Store, hold_sound
from mfserve_registry.tables import uploads
from mfserve_registry.uploads.types import REQUIRED, Upload, UploadColumn, UploadLimits
from mfserve_registry.uploads.writer import UploadWriter


class Uploads:
    """Takes uploads in and finds them again."""

    def __init__(self, database: Database, store: Store, limits: UploadLimits, ownership: Ownership) -> None:
        self._ownership = ownership
        self._database = database
        self._store = store
        self._limits = limits

    def create(
        self,
        request_id: str,
        columns: Collection[UploadColumn] = (UploadColumn.RATING,),
        *,
        limits: UploadLimits | None = None,
    ) -> UploadWriter:
        """Begins an upload.

        Sending an upload again (same ``request_id``, same columns and rows) gives the same upload, so that a caller
        who never heard the answer may repeat the call. That can only be seen at the end: see ``UploadWriter.commit``.

        Args:
            request_id: chosen by the caller, 1 to 128 visible ASCII characters.
            columns: the columns that its batches have; ``user_id`` and ``item_id`` always are among them.
            limits: instead of the registry's.

        Raises:
            InvalidArgument: a bad request id or an unknown column.
        """
        check_request_id(request_id)
        try:
            wanted = {UploadColumn(column) for column in columns} | set(REQUIRED)
        except ValueError as error:
            raise InvalidArgument(
                f"An upload has the columns {', '.join(UploadColumn)}.",
                field="columns",
            ) from error
        ordered = [column for column in UploadColumn if column in wanted]

        def finish(staged: Path, sha256: str, content_hash: str, rows: int) -> Upload:
            return self._commit(staged, request_id, ordered, sha256, content_hash, rows)

        return UploadWriter(self._store.stage(), ordered, limits or self._limits, finish)

    def get(self, upload_id: str) -> Upload:
        """NotFound: UPLOAD_NOT_FOUND."""
        with self._database.read() as connection:
            row = connection.execute(select(uploads).where(uploads.c.upload_id == upload_id)).first()
        if row is None:
            raise NotFound(
                "There is no such upload.",
                reason="UPLOAD_NOT_FOUND",
                field="upload_id",
                metadata={"upload_id": upload_id[:64]},
            )
        return _upload(row)

    def hold(self, upload_id: str) -> Held:
        """The Parquet file of an upload on this machine, whole; it stays there while it is held.

        Raises:
            NotFound: UPLOAD_NOT_FOUND.
            DamagedSnapshot: STORAGE_FAILED, the file is gone from the store or is not what was uploaded.
            Unavailable: the database or the store does not answer.
        """
        upload = self.get(upload_id)
        name = upload_name(upload_id)

        def check(path: Path) -> None:
            try:
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise _damaged(upload_id) from error
            if sha256 != upload.sha256:
                raise _damaged(upload_id)

        try:
            return hold_sound(
                lambda: self._store.hold(name, check), check, lambda: self._store.mend(name, check)
            )
        except FileNotFoundError as error:
            raise _damaged(upload_id) from error

    def path(self, upload_id: str) -> Path:
        """The same file, without a promise that it stays; raises the same."""
        return self.hold(upload_id).path

    def open(self, upload_id: str) -> BinaryIO:
        """The same, opened for reading; raises the same."""
        with self.hold(upload_id) as held:
            return held.path.open("rb")

    def _commit(
        self,
        staged: Path,
        request_id: str,
        columns: list[UploadColumn],
        sha256: str,
        content_hash: str,
        rows: int,
    ) -> Upload:
        def known(connection: Connection) -> Upload | None:
            row = connection.execute(select(uploads).where(uploads.c.request_id == request_id)).first()
            if row is not None and (row.content_hash != content_hash or row.columns != columns):
                raise AlreadyExists(
                    "Other ratings were uploaded with this request id; choose a new one.",
                    reason="REQUEST_ID_REUSED",
                    field="request_id",
                    metadata={"request_id": request_id, "upload_id": row.upload_id},
                )
            return None if row is None else _upload(row)

        with self._database.read() as connection:
            if (before := known(connection)) is not None:
                return before
        self._ownership.claim()
        upload_id, size = uuid4().hex, staged.stat().st_size
        name = upload_name(upload_id)
        # Before the transaction: a store may be slow, and all other writers would wait for it.
        self._store.put(staged, name)
        with self._database.lock_shared([name]) as lock:
            if not self._store.contains(name):
                raise Unavailable("The upload was removed before it was known; send it again.")
            with lock.write() as connection:
                twin = known(connection)
                if twin is None:
                    connection.execute(
                        insert(uploads).values(
                            upload_id=upload_id,
                            request_id=request_id,
                            content_hash=content_hash,
                            sha256=sha256,
                            rows=rows,
                            size_bytes=size,
                            columns=list(columns),
                            created_at=self._database.now(),
                        )
                    )
        if twin is None:
            return self.get(upload_id)
        self._store.remove(name)  # the same upload was sent twice at once
        return twin


def upload_name(upload_id: str) -> str:
    """What the store calls the upload's file."""
    return f"uploads/{upload_id}.parquet"


def _damaged(upload_id: str) -> DamagedSnapshot:
    return DamagedSnapshot(
        "The file of the upload is damaged or missing in the store.",
        reason="STORAGE_FAILED",
        metadata={"upload_id": upload_id},
    )


def _upload(row: Row[Any]) -> Upload:
    return Upload(
        upload_id=row.upload_id,
        request_id=row.request_id,
        rows=row.rows,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        content_hash=row.content_hash,
        columns=tuple(UploadColumn(column) for column in row.columns),
        created_at=row.created_at,
    )
