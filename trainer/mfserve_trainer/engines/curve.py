"""The training curve as a CSV table; the report draws it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mfserve_trainer.engines.base import Epoch


def as_csv(epochs: Sequence[Epoch]) -> str:
    """A header line, then a line per epoch: its number and its metrics, exact to the last bit."""
    names = list(epochs[0].metrics)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *names])
    table.writerows([epoch.number, *(repr(epoch.metrics[name]) for name in names)] for epoch in epochs)
    return text.getvalue()
