"""Approximate indexes of several libraries behind one interface. A library is imported where it is used alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TOP = 10
OVERSAMPLING = 3
"""What mfserve's search asks of an index for each item wanted; it scores them exactly."""
NEIGHBOURS = 16
"""Of a node in the graph (M of the HNSW paper); the lowest layer has twice as many."""
EFFORT_OF_BUILDING = 128
"""Candidates while building (efConstruction)."""


class Index(Protocol):
    """An index that is open.

    ``search`` finds ``TOP`` items of each user, with an effort: candidates kept (HNSW), or clusters looked at.
    """

    efforts: Sequence[int]

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]: ...


GRAPH_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
CLUSTER_EFFORTS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)


class Usearch:
    """unum's usearch; ``view`` maps the file."""

    efforts: Sequence[int] = GRAPH_EFFORTS

    @staticmethod
    def build(items: Floats, threads: int, path: Path, dtype: str = "f32") -> None:
        from usearch.index import Index

        index = Index(
            ndim=items.shape[1],
            metric="ip",
            dtype=dtype,
            connectivity=NEIGHBOURS,
            expansion_add=EFFORT_OF_BUILDING,
            enable_key_lookups=False,
        )
        index.add(np.arange(len(items), dtype=np.uint64), items, threads=threads)
        index.save(str(path))

    def __init__(self, path: Path) -> None:
        from usearch.index import Index

        index = Index.restore(str(path), view=True)
        assert index is not None
        self._index = index

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]:
        self._index.expansion_search = effort
        found = self._index.search(users, TOP, threads=threads)
        return np.asarray(found.keys).astype(np.int64).reshape(len(users), -1)


class UsearchHalf(Usearch):
    """The same with the vectors in float16."""

    @staticmethod
    def build(items: Floats, threads: int, path: Path, dtype: str = "f16") -> None:
        Usearch.build(items, threads, path, dtype)


class Voyager:
    """Spotify's, of hnswlib; its InnerProduct adds the dimension that makes all items equally long."""

    efforts: Sequence[int] = GRAPH_EFFORTS

    @staticmethod
    def build(items: Floats, threads: int, path: Path) -> None:
        import voyager

        index = voyager.Index(
            voyager.Space.InnerProduct,
            items.shape[1],
            M=NEIGHBOURS,
            ef_construction=EFFORT_OF_BUILDING,
            random_seed=0,
            max_elements=len(items),
        )
        index.add_items(np.asarray(items), num_threads=threads)
        index.save(str(path))

    def __init__(self, path: Path) -> None:
        import voyager

        self._index = voyager.Index.load(str(path))

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]:
        found, _ = self._index.query(users, TOP, num_threads=threads, query_ef=max(effort, TOP))
        return np.asarray(found)


class FaissGraph:
    """FAISS's HNSW with the vectors beside it."""

    efforts: Sequence[int] = GRAPH_EFFORTS

    @staticmethod
    def build(items: Floats, threads: int, path: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.IndexHNSWFlat(items.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EFFORT_OF_BUILDING
        index.add(items)
        faiss.write_index(index, str(path))

    def __init__(self, path: Path) -> None:
        import faiss

        self._faiss = faiss
        self._index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    def _set(self, effort: int) -> None:
        self._index.hnsw.efSearch = effort

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]:
        self._faiss.omp_set_num_threads(threads)
        self._set(effort)
        found: NDArray[np.integer[Any]] = self._index.search(users, TOP)[1]
        return found


class FaissClusters(FaissGraph):
    """FAISS's inverted file: items in clusters, of which the nearest are looked at."""

    efforts: Sequence[int] = CLUSTER_EFFORTS

    @staticmethod
    def build(items: Floats, threads: int, path: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        clusters = int(4 * np.sqrt(len(items)))
        quantizer = faiss.IndexFlatIP(items.shape[1])
        index = faiss.IndexIVFFlat(quantizer, items.shape[1], clusters, faiss.METRIC_INNER_PRODUCT)
        index.train(items)
        index.add(items)
        faiss.write_index(index, str(path))

    def _set(self, effort: int) -> None:
        self._index.nprobe = effort


class FaissBytes(FaissClusters):
    """The same as mfserve builds it: centres of length 1, items in 8 bits a number, and more found than is wanted."""

    @staticmethod
    def build(items: Floats, threads: int, path: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        factors = items.shape[1]
        clusters = int(2 ** np.floor(np.log2(2 * np.sqrt(len(items)))))
        quantizer = faiss.IndexFlatIP(factors)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            factors,
            clusters,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.cp.spherical = True
        index.cp.seed = 1
        index.train(items)
        index.add(items)
        faiss.write_index(index, str(path))

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]:
        self._faiss.omp_set_num_threads(threads)
        self._set(effort)
        found: NDArray[np.integer[Any]] = self._index.search(users, OVERSAMPLING * TOP)[1]
        return found


class Scann:
    """Google's: clusters, quantized products (anisotropic), the best of them rescored."""

    efforts: Sequence[int] = CLUSTER_EFFORTS

    @staticmethod
    def build(items: Floats, threads: int, path: Path) -> None:
        import scann

        builder = scann.scann_ops_pybind.builder(np.asarray(items), TOP, "dot_product")
        builder.set_n_training_threads(threads)
        leaves = int(2 * np.sqrt(len(items)))
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=8, training_sample_size=len(items))
        searcher = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
        path.mkdir()
        searcher.serialize(str(path))

    def __init__(self, path: Path) -> None:
        import scann

        self._searcher = scann.scann_ops_pybind.load_searcher(str(path))

    def search(self, users: Floats, effort: int, threads: int) -> NDArray[np.integer[Any]]:
        if len(users) == 1:
            found = self._searcher.search(
                users[0], leaves_to_search=effort, pre_reorder_num_neighbors=max(100, 4 * effort)
            )[0]
            return np.asarray(found)[np.newaxis]
        search = self._searcher.search_batched_parallel if threads > 1 else self._searcher.search_batched
        found = search(users, leaves_to_search=effort, pre_reorder_num_neighbors=max(100, 4 * effort))[0]
        return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Library:
    """One line of the table: how an index is built into a file or folder, and how it is opened."""

    name: str
    build: Callable[[Floats, int, Path], None]
    open: Callable[[Path], Index]


LIBRARIES = (
    Library("usearch", Usearch.build, Usearch),
    Library("usearch, float16", UsearchHalf.build, Usearch),
    Library("voyager", Voyager.build, Voyager),
    Library("FAISS HNSW", FaissGraph.build, FaissGraph),
    Library("FAISS IVF", FaissClusters.build, FaissClusters),
    Library("FAISS IVF, as mfserve has it", FaissBytes.build, FaissBytes),
    Library("ScaNN", Scann.build, Scann),
)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def own_bytes() -> int:
    """Memory of this process that no other shares: what is not a mapped file (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines[1:])
    return 1024 * int(fields["Anonymous"].split()[0])
