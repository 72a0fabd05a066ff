"""One training job in a process of its own: ``python -m benchmarks.speed.whole_job DATASET SPEC [ROOT]``.

DATASET and SPEC are the JSON of a ``DatasetSpec`` and a ``TrainingSpec``, ROOT a folder that holds the former's file.
Prints one JSON object: what each stage took, from the moment that TensorFlow is imported, and how much more memory the
process had at the stage's peak, and at the highest of all, than at that moment.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed.memory import peak_bytes, restart_peak
from mfserve_registry.jobs import Progress
from mfserve_registry.spec import DatasetSpec, TrainingSpec
from mfserve_trainer.datasets import cache_folder
from mfserve_trainer.fit_process import import_tensorflow
from mfserve_trainer.messages import FitTask


def main() -> None:
    dataset, spec = (
        DatasetSpec.model_validate_json(sys.argv[1]),
        TrainingSpec.model_validate_json(sys.argv[2]),
    )
    import_tensorflow()
    imported = peak_bytes()
    from mfserve_trainer.training import train

    begun: list[tuple[str, float, float, int]] = []

    def follow(step: Progress) -> None:
        if step.epoch == 0:
            begun.append((step.stage, *_now()))
            restart_peak()

    with tempfile.TemporaryDirectory(prefix="mfserve-speed-") as folder:
        staged, scratch = Path(folder, "staged"), Path(folder, "scratch")
        staged.mkdir()
        scratch.mkdir()
        train(
            FitTask(
                model="speed",
                job_id="speed",
                dataset=dataset,
                spec=spec,
                data_roots=tuple(Path(root) for root in sys.argv[3:]),
                upload=None,
                cache=cache_folder(),
                staged=staged,
                scratch=scratch,
                log_dir=Path(folder, "logs"),
                studies=Path(folder, "studies"),
            ),
            follow,
        )
        ended = _now()

    moments = [(at, cpu, peak) for _, at, cpu, peak in begun]
    stages = [
        {
            "stage": stage,
            "seconds": end - at,
            "cpu_seconds": cpu_end - cpu,
            "memory_bytes": peak - imported,
        }
        for (stage, at, cpu, _), (end, cpu_end, peak) in zip(begun, [*moments[1:], ended], strict=True)
    ]
    highest = max(peak for *_, peak in [*moments[1:], ended])
    print(json.dumps({"stages": stages, "memory_bytes": highest - imported}))


def _now() -> tuple[float, float, int]:
    """Seconds of the clock and of the processor, and the peak of memory in the stage that ends."""
    return time.perf_counter(), time.process_time(), peak_bytes()


if __name__ == "__main__":
    main()
