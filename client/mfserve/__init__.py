"""mfserve: train and ask a recommender service.

    from mfserve import Client

    with Client("127.0.0.1:50051") as client:
        for item in client.recommend("movies", "196", limit=10):
            print(item.item_id, item.score)

``mfserve.errors`` holds the exceptions, ``mfserve.types`` what the methods take and return.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfserve import errors, types
    from mfserve._client.aio import AsyncClient
    from mfserve._client.aio_job import AsyncTrainingJob
    from mfserve._client.credentials import Credentials
    from mfserve._client.sync import Client
    from mfserve._client.sync_job import TrainingJob
    from mfserve._types.enums import Head
    from mfserve._types.spec import (
        Als,
        AutoRating,
        Bayes,
        Ials,
        Index,
        Keras,
        KeyedHash,
        NoRanking,
        NoRating,
        NoSplit,
        PromotionGates,
        RandomSplit,
        Tuning,
    )
    from mfserve.errors import MfserveError

    __version__: str

__all__ = [
    "Als",
    "AsyncClient",
    "AsyncTrainingJob",
    "AutoRating",
    "Bayes",
    "Client",
    "Credentials",
    "Head",
    "Ials",
    "Index",
    "Keras",
    "KeyedHash",
    "MfserveError",
    "NoRanking",
    "NoRating",
    "NoSplit",
    "PromotionGates",
    "RandomSplit",
    "TrainingJob",
    "Tuning",
    "__version__",
    "errors",
    "types",
]

# Read on first use: a trainer or `mfserve --help` starts without grpc, and `import mfserve` costs next to nothing.
_HOMES = {
    "Als": "mfserve._types.spec",
    "AsyncClient": "mfserve._client.aio",
    "AsyncTrainingJob": "mfserve._client.aio_job",
    "AutoRating": "mfserve._types.spec",
    "Bayes": "mfserve._types.spec",
    "Client": "mfserve._client.sync",
    "Credentials": "mfserve._client.credentials",
    "Head": "mfserve._types.enums",
    "Ials": "mfserve._types.spec",
    "Index": "mfserve._types.spec",
    "Keras": "mfserve._types.spec",
    "KeyedHash": "mfserve._types.spec",
    "MfserveError": "mfserve.errors",
    "NoRanking": "mfserve._types.spec",
    "NoRating": "mfserve._types.spec",
    "NoSplit": "mfserve._types.spec",
    "PromotionGates": "mfserve._types.spec",
    "RandomSplit": "mfserve._types.spec",
    "TrainingJob": "mfserve._client.sync_job",
    "Tuning": "mfserve._types.spec",
}


def __getattr__(name: str) -> Any:
    if name in {"errors", "types"}:
        return import_module(f"mfserve.{name}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mfserve")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'mfserve' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
