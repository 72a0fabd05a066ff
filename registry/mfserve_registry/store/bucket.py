"""A store in a bucket that speaks S3, with copies on the local disk of what is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from mfserve_registry.errors import InvalidArgument, Unavailable
from mfserve_registry.store.base import Check, Held, StoredFile
from mfserve_registry.store.cache import Cache
from mfserve_registry.store.durable import sync_folder
from mfserve_registry.store.refusals import lacks_bucket, refusal
from mfserve_registry.store.staging import Staging

SILENCE_SECONDS = 10.0
"""So long after it has got a request, a bucket that says nothing does not answer."""

_PARALLEL = 4
_CHUNK = 4 * 2**20

_log = structlog.get_logger(__name__)


class BucketStore:
    """Keeps each thing as objects under ``prefix`` in ``bucket``. Whoever holds something holds a copy in ``cache``.

    Endpoint, region and credentials come from where every S3 client has them, the AWS_* variables first.

    Args:
        cache: folder of the copies; what is staged lies in it too.
        cache_bytes: most bytes of copies.

    Raises:
        InvalidArgument: the endpoint is no URL.
    """

    def __init__(self, bucket: str, prefix: str, cache: Path, cache_bytes: int) -> None:
        endpoint = _endpoint()
        self._bucket = S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=3),
                "read_timeout": timedelta(seconds=SILENCE_SECONDS),
                # Of a whole request: parts of uploads and ranges of downloads are small.
                "timeout": timedelta(seconds=60),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )
        self._staging = Staging(cache / ".staging")
        self._cache = Cache(cache / "copies", self._staging, cache_bytes)
        self.stage = self._staging.stage
        self.discard = self._staging.discard

    def clean_staging(self, older_than: timedelta) -> None:
        self._staging.clean(older_than)

    def put(self, staged: Path, name: str, *, last: str | None = None) -> None:
        if last is None:
            if self.contains(name):
                raise FileExistsError(name)
            with _answering(self._bucket):
                self._put_file(staged, name)
        else:
            self._put_folder(staged, name, last)
        self.discard(staged)

    def contains(self, name: str) -> bool:
        with _answering(self._bucket):
            try:
                obstore.head(self._bucket, name)
            except FileNotFoundError:
                return False
            return True

    def read(self, name: str) -> bytes:
        with _answering(self._bucket):
            return bytes(obstore.get(self._bucket, name).bytes())

    def hold(self, name: str, check: Check) -> Held:
        return self._cache.hold(name, _Objects(self._bucket, name), check)

    def mend(self, name: str, check: Check) -> bool:
        self._cache.mend(name, _Objects(self._bucket, name), check)
        return True

    def note_use(self, name: str) -> None:
        self._cache.note_use(name)

    def remove(self, name: str, *, last: str | None = None) -> None:
        with suppress(FileNotFoundError), _answering(self._bucket):
            paths = list(_Objects(self._bucket, name).sizes)
            if (
                last is not None
            ):  # in a request of its own: of one for all, any part may be done and the rest not
                obstore.delete(self._bucket, [f"{name}/{last}"])
            obstore.delete(self._bucket, paths)
        self._cache.drop(name)

    def files(self, kind: str) -> Iterator[StoredFile]:
        with _answering(self._bucket):
            for page in obstore.list(self._bucket, kind):
                for each in page:
                    yield StoredFile(each["path"], each["size"], each["last_modified"])

    def _put_file(self, file: Path, name: str) -> None:
        # Few parts at a time, so that each of them has got through long before it counts as silence.
        obstore.put(self._bucket, name, file, max_concurrency=_PARALLEL)

    def _put_folder(self, staged: Path, name: str, last: str) -> None:
        with _answering(self._bucket):
            for file in staged.iterdir():
                if file.name != last:
                    self._put_file(file, f"{name}/{file.name}")
            try:
                obstore.put(self._bucket, f"{name}/{last}", staged / last, mode="create")
            except AlreadyExistsError as error:
                # The same again: all the others were just put anew, and what was damaged is no more.
                if self.read(f"{name}/{last}") != (staged / last).read_bytes():
                    raise FileExistsError(name) from error


class _Objects:
    """The object of a name, or the objects of the folder of that name."""

    def __init__(self, bucket: S3Store, name: str) -> None:
        self._bucket = bucket
        self._name = name

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes by path."""
        with _answering(self._bucket):
            found = obstore.list(self._bucket, self._name).collect()
            found = found or [obstore.head(self._bucket, self._name)]
            return {each["path"]: each["size"] for each in found}

    def size(self) -> int:
        return sum(self.sizes.values())

    def copy(self, target: Path) -> None:
        if self._name in self.sizes:
            self._download(self._name, target)
            return
        target.mkdir()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda path: self._download(path, target / Path(path).name), self.sizes))
        sync_folder(target)

    def _download(self, path: str, target: Path) -> None:
        size = self.sizes[path]
        with target.open("xb") as file:
            for start in range(0, size, _CHUNK):
                with _answering(self._bucket):
                    part = obstore.get_range(self._bucket, path, start=start, end=min(start + _CHUNK, size))
                file.write(part)
            file.flush()
            os.fsync(file.fileno())


def _endpoint() -> str:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    name = next((name for name in names if name in os.environ), None)
    if name is None:
        return ""
    endpoint = os.environ[name]
    try:
        parts = urlsplit(endpoint)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        fits = False
    if not fits:  # the client would end the process, with pages of its own
        raise InvalidArgument(f"{name} must look like https://host or http://host:port.", field="store_url")
    return endpoint


@contextmanager
def _answering(store: S3Store) -> Iterator[None]:
    """What goes wrong as one error, which says why. FileNotFoundError is for an object that is not in the bucket."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and not lacks_bucket(error):
            raise
        message = refusal(store.config["bucket"], error)
        _log.warning("the store cannot be used", message=message)
        raise Unavailable(message) from error
