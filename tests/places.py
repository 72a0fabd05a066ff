"""Where a test's registry is: in its home folder, or on PostgreSQL and S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store
from sqlalchemy import Select, Update

from mfserve_registry import Registry
from mfserve_registry.database import Database

BUCKET = "registries"


@dataclass(frozen=True)
class Place:
    """A registry's place, as one machine sees it."""

    home: Path
    database_url: str | None = None
    store_url: str | None = None

    def open(self, **options: Any) -> Registry:
        return Registry.open(self.home, database_url=self.database_url, store_url=self.store_url, **options)

    def seen_from(self, home: Path) -> Place:
        """The same registry for another machine, which has that home folder."""
        return replace(self, home=home)

    def rows(self, query: Select[Any]) -> list[tuple[Any, ...]]:
        with self.database() as database, database.read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def change(self, statement: Update) -> None:
        with self.database() as database, database.write() as connection:
            connection.execute(statement)

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(self.home / "registry.db", self.database_url)
        try:
            yield database
        finally:
            database.close()

    def stored(self, kind: str) -> list[str]:
        """The names below ``kind`` of all that the store keeps."""
        if (bucket := self._bucket) is not None:
            paths = [each["path"] for each in obstore.list(bucket, kind).collect()]
        else:
            root = self.home / kind
            paths = [str(path.relative_to(self.home)) for path in root.rglob("*") if path.is_file()]
        return sorted(path.removeprefix(f"{kind}/") for path in paths)

    def damage(self, name: str, data: bytes | None = None) -> None:
        """Puts other bytes in the place of a file that the store keeps, or removes it."""
        if (bucket := self._bucket) is None:
            (self.home / name).unlink()
            if data is not None:
                (self.home / name).write_bytes(data)
        elif data is None:
            obstore.delete(bucket, name)
        else:
            obstore.put(bucket, name, data)

    @property
    def staging(self) -> Path:
        return (self.home if self.store_url is None else self.home / "cache") / ".staging"

    @property
    def _bucket(self) -> S3Store | None:
        if self.store_url is None:
            return None
        prefix = self.store_url.removeprefix(f"s3://{BUCKET}/")
        return S3Store(BUCKET, prefix=prefix, client_options={"allow_http": True})
