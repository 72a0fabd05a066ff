"""Data sets: built in, files of the caller's, and uploads."""

from mfserve_trainer.datasets.catalog import DatasetFacts, fetch, list_builtin, load
from mfserve_trainer.datasets.download import Progress, cache_folder

__all__ = ["DatasetFacts", "Progress", "cache_folder", "fetch", "list_builtin", "load"]
