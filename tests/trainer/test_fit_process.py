from __future__ import annotations

from io import BytesIO
from pathlib import Path

from mfserve_registry.spec import BuiltinDataset, DatasetSpec
from mfserve_trainer.fit_process import _perform
from mfserve_trainer.messages import Failed
from tests.trainer.samples import QUICK, fit_task


def test_what_keeps_a_data_set_away_is_told_to_the_log_and_not_to_the_caller(
    tmp_path: Path, csv: Path
) -> None:
    no_folder = tmp_path / "a file"
    no_folder.touch()
    task = fit_task(tmp_path / "task", csv, QUICK).model_copy(
        update={
            "dataset": DatasetSpec(source=BuiltinDataset(name="movielens-1m")),
            "cache": no_folder / "cache",
        }
    )
    failed = _perform(task, BytesIO())
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.defect) == ("DATASET_UNAVAILABLE", False)
    assert "mfserve datasets fetch movielens-1m" in failed.message
    assert str(tmp_path) not in failed.message
