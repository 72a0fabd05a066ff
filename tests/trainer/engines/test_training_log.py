"""The log of a training on a disk without room."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mfserve_trainer.engines.training_log import TrainingLog
from tests.disks import filled, small_disk


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    def train(log_dir: Path) -> None:
        with TrainingLog("rating", 1, lambda epoch: None, log_dir) as log:
            log.epoch({"loss": 1.0})

    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        with filled(disk, but=0), pytest.raises(OSError, match="No space left on device") as caught:
            train(disk / "log")
        assert caught.value.errno == errno.ENOSPC
        train(disk / "log")
