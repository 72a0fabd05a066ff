"""The store that a URL names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.store.base import Store
from mfserve_registry.store.folder import FolderStore


def check_store_url(url: str) -> str:
    """``url``, if it may name a store: ``s3://bucket/prefix`` or ``file:///folder``.

    Raises:
        InvalidArgument: it may not. The message does not repeat it: somebody may have put a password into it.
    """
    try:
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        fits = (parts.scheme == "s3" and parts.netloc and not parts.port) or (
            parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
        )
    except ValueError:  # a port that is no number
        plain, fits = False, False
    if not (plain and fits):
        raise InvalidArgument(
            "A store's URL must look like s3://bucket/prefix or file:///folder; credentials are not in it, "
            "but in the AWS_* variables.",
            field="store_url",
        )
    return url


def open_store(url: str | None, home: Path, cache_bytes: int) -> Store:
    """The store of ``url``, or that of ``home`` where there is none.

    Args:
        cache_bytes: most bytes of local copies, in ``home/cache``, of what a bucket keeps.
    """
    if url is None:
        return FolderStore(home)
    parts = urlsplit(check_store_url(url))
    if parts.scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    # Imported here: who uses a folder does not wait for it.
    from mfserve_registry.store.bucket import BucketStore

    return BucketStore(parts.netloc, parts.path.strip("/"), home / "cache", cache_bytes)
