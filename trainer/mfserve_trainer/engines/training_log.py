"""Follows one training: reports each epoch, writes TensorBoard scalars, and keeps the curve."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tensorflow as tf

from mfserve_registry.artifacts import Artifact
from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_trainer.engines import curve
from mfserve_trainer.engines.base import Epoch, ReportEpoch


class TrainingLog:
    """A context; leaving it closes the TensorBoard file.

    Args:
        head: "rating" or "ranking"; the names of artifacts and logs begin with it.
        total: how many epochs there will be at most.
        report: called for every epoch.
        log_dir: folder of TensorBoard's logs; None writes none.
    """

    def __init__(self, head: str, total: int, report: ReportEpoch, log_dir: Path | None) -> None:
        self.epochs: list[Epoch] = []
        self._head = head
        self._total = total
        self._report = report
        with _disk_errors():
            self._writer = tf.summary.create_noop_writer() if log_dir is None else _writer(log_dir / head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _disk_errors():
            self._writer.close()

    def epoch(
        self, metrics: Mapping[str, float], head: Callable[[], RatingHead | RankingHead] | None = None
    ) -> None:
        """The next epoch is finished; ``head`` as in ``Epoch``."""
        finished = Epoch(len(self.epochs) + 1, self._total, dict(metrics))
        self.epochs.append(finished)
        with _disk_errors():
            with self._writer.as_default(step=finished.number):
                for name, value in finished.metrics.items():
                    # float64, since a loss may have left float32's range, which Python's floats may not.
                    tf.summary.scalar(name, np.float64(value))
            self._writer.flush()
        self._report(replace(finished, head=head))  # which is not kept: it holds all parameters

    def artifacts(self) -> tuple[Artifact, ...]:
        """The training curve as a table."""
        return (Artifact(f"{self._head}-training-curve.csv", "text/csv", curve.as_csv(self.epochs).encode()),)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """TensorFlow has errors of its own for what goes wrong with a file; here they are Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
        raise OSError(number, os.strerror(number)) from error


def _writer(folder: Path) -> tf.summary.SummaryWriter:
    return tf.summary.create_file_writer(str(folder))
