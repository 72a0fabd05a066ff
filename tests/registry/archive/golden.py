"""A golden archive: a file as the first release with its format wrote it, which every later one has to import.

``python -m tests.registry.archive.golden`` makes that of the present format, once, and refuses where it is there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mfserve_registry import Artifact, Registry
from mfserve_registry.archive import FORMAT
from tests.registry.helpers import Clock, claimed, request

FOLDER = Path(__file__).parent / "golden"
DIGEST = "4e33e65aafd9a1d5a95046d6e85632ae520555e2f6f28ce059d0afb2436ae572"
"""Of the golden snapshot ``format-1/both-heads``."""
SNAPSHOT = FOLDER.parents[1] / "snapshot" / "golden" / "format-1" / "both-heads"
ARTIFACTS = [
    Artifact("curve.csv", "text/csv", b"epoch,loss\n1,0.5\n"),
    Artifact("n" * 128, "application/octet-stream", bytes(range(256)) * 3),
]
METRICS = {"holdout_ratings": 6, "rating": [{"predictor": "RATING_HEAD", "rmse": 0.1}], "none": None}
FACTS = {"dataset": {"name": "gölden", "period": [874_724_710, 10**18]}, "spec": {"regularization": 1e-300}}


def make() -> None:
    """Writes the golden archive of the present format. FileExistsError where it is there."""
    path = FOLDER / f"format-{FORMAT}.mfserve"
    FOLDER.mkdir(exist_ok=True)
    path.touch(exist_ok=False)
    with TemporaryDirectory() as home, Registry.open(Path(home), clock=Clock()) as registry:
        claim = claimed(registry, request())
        staged = registry.snapshots.stage()
        for file in SNAPSHOT.glob("*.npy"):
            shutil.copy(file, staged)
        shutil.copy(SNAPSHOT / "manifest.json", staged)
        version = registry.publish(claim, staged, DIGEST, ARTIFACTS, metrics=METRICS, facts=FACTS)
        registry.export_version(version.model, version.version, path)


if __name__ == "__main__":
    make()
