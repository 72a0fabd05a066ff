"""Ratings that callers send, kept as Parquet files."""

from mfserve_registry.uploads.types import Upload, UploadColumn, UploadLimits
from mfserve_registry.uploads.uploads import Uploads
from mfserve_registry.uploads.writer import UploadWriter

__all__ = ["Upload", "UploadColumn", "UploadLimits", "UploadWriter", "Uploads"]
