"""The uploads of a registry."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from sqlalchemy import Row, insert, select

from mfserve_registry import staging
from mfserve_registry.database import Database
from mfserve_registry.errors import AlreadyExists, InvalidArgument, NotFound
from mfserve_registry.names import check_request_id
from mfserve_registry.snapshot.durable import sync_folder
from mfserve_registry.tables import uploads
from mfserve_registry.uploads.types import REQUIRED, Upload, UploadColumn, UploadLimits
from mfserve_registry.uploads.writer import UploadWriter


class Uploads:
    """Takes uploads in and finds them again; their files are in the folder ``root``."""

    def __init__(self, database: Database, root: Path, limits: UploadLimits) -> None:
        self._database = database
        self._root = root
        self._limits = limits
        self._staging = root / ".staging"
        self._staging.mkdir(parents=True, exist_ok=True)

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

        return UploadWriter(self._staging / uuid4().hex, ordered, limits or self._limits, finish)

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

    def path(self, upload_id: str) -> Path:
        """The Parquet file of an upload. NotFound: UPLOAD_NOT_FOUND."""
        return self._path(self.get(upload_id).upload_id)

    def open(self, upload_id: str) -> BinaryIO:
        """The same, opened for reading."""
        return self.path(upload_id).open("rb")

    def clean_staging(self, older_than: timedelta) -> None:
        """Removes files of uploads that never ended, if untouched for so long."""
        staging.clean(self._staging, older_than)

    def _commit(
        self,
        staged: Path,
        request_id: str,
        columns: list[UploadColumn],
        sha256: str,
        content_hash: str,
        rows: int,
    ) -> Upload:
        upload_id = uuid4().hex
        size = staged.stat().st_size
        path = self._path(upload_id)
        with self._database.write() as connection:
            row = connection.execute(select(uploads).where(uploads.c.request_id == request_id)).first()
            if row is not None:
                if row.content_hash != content_hash or row.columns != columns:
                    raise AlreadyExists(
                        "Other ratings were uploaded with this request id; choose a new one.",
                        reason="REQUEST_ID_REUSED",
                        field="request_id",
                        metadata={"request_id": request_id, "upload_id": row.upload_id},
                    )
                return _upload(row)
            staged.rename(path)
            try:
                sync_folder(self._root)
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
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return self.get(upload_id)

    def _path(self, upload_id: str) -> Path:
        return self._root / f"{upload_id}.parquet"


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
