"""Opens the registry as the settings say."""

from __future__ import annotations

from mfserve_registry import Registry, UploadLimits
from mfserve_server.settings import Settings


def open_registry(settings: Settings, *, migrate: bool, check_later: bool = False) -> Registry:
    """Raises what ``Registry.open`` does."""
    return Registry.open(
        settings.home,
        database_url=settings.url,
        store_url=settings.store_url,
        cache_bytes=settings.cache_bytes,
        migrate=migrate,
        check_later=check_later,
        upload_limits=UploadLimits(content_bytes=settings.max_upload_bytes),
    )
