"""Archives for tests: a sound one, and ones that were tampered with so that every sum is right again."""

from __future__ import annotations

import io
import json
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from mfserve_registry import Artifact, Registry, Version
from mfserve_registry.archive.tar import END, header, padding
from tests.registry.helpers import publish

CURVE = Artifact("curve.csv", "text/csv", b"epoch,loss\n1,0.5\n")
EMPTY = Artifact("empty.txt", "text/plain", b"")

Document = dict[str, Any]
Files = dict[str, bytes]


def exported(registry: Registry, path: Path) -> Version:
    """Publishes a version, the second of its model, and exports it."""
    publish(registry, "first", seed=1)
    version = publish(registry, "second", artifacts=[CURVE, EMPTY])
    return registry.export_version(version.model, version.version, path)


def files_in(archive: bytes) -> Files:
    """What any tar finds in it, in order."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def packed(files: Files) -> bytes:
    """A tar of them, as mfserve writes it."""
    blocks = [header(path, len(data)) + data + padding(len(data)) for path, data in files.items()]
    return b"".join(blocks) + END


def with_document(archive: bytes, document: bytes) -> bytes:
    """The archive with another version.json, and its right sum."""
    line = f"{sha256(document).hexdigest()}  version.json\n".encode()
    return packed({**files_in(archive), "version.json": document, "version.json.sha256": line})


def tampered(archive: bytes, change: Callable[[Document, Files], object]) -> bytes:
    """The archive after a change of its document and its files; sizes and sums of the files are made right again."""
    files = files_in(archive)
    document = json.loads(files["version.json"])
    change(document, files)
    for member in document["members"]:
        data = files[member["path"]]
        member.setdefault("bytes", len(data))
        member["sha256"] = sha256(data).hexdigest()
    kept = {path: data for path, data in files.items() if not path.startswith("version.json")}
    listed = {member["path"]: kept[member["path"]] for member in document["members"]}
    text = json.dumps(document).encode()
    return with_document(packed({"version.json": b"", "version.json.sha256": b"", **listed}), text)


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file grows beyond ``limit`` bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
