"""An archive that was written when its format was new imports in this release; see ``golden.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_registry.archive import FORMAT
from tests.registry.archive.golden import ARTIFACTS, DIGEST, FACTS, FOLDER, METRICS

ARCHIVES = sorted(FOLDER.glob("*.mfserve"))


def test_each_format_has_its_archive() -> None:
    assert [path.stem for path in ARCHIVES] == [f"format-{number}" for number in range(1, FORMAT + 1)]


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_it_imports(registry: Registry, path: Path) -> None:
    version = registry.import_version(path).version
    assert (version.model, version.version, version.digest) == ("movies", 1, DIGEST)
    assert (version.metrics, version.facts) == (METRICS, FACTS)
    for artifact in ARTIFACTS:
        info, data = registry.artifacts.read("movies", 1, artifact.name)
        assert (info.media_type, data) == (artifact.media_type, artifact.data)


def test_the_bytes_of_the_present_format_do_not_change(registry: Registry, tmp_path: Path) -> None:
    """The golden version, published here at the same time under the same number, is written as it was then."""
    golden = FOLDER / f"format-{FORMAT}.mfserve"
    registry.import_version(golden)
    registry.export_version("movies", 1, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == golden.read_bytes()
