"""The item embeddings for TensorBoard's embedding projector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorboard.plugins import projector

from mfserve_registry.snapshot.content import SnapshotContent

RUN = "embeddings"
"""Name of the run, beside those of the fits."""

MOST_ITEMS = 10_000
"""The projector shows no more at a time; those with the most ratings are kept."""

_METADATA = "items.tsv"


def write(content: SnapshotContent, log_dir: Path) -> None:
    """Writes the item factors of each head, and title, id, ratings and mean of each item, as a run of its own.

    The run also holds the specification as a text: TensorBoard takes a folder for a run only if it has an event file.

    Args:
        content: what is served.
        log_dir: the folder of the attempt's logs.
    """
    folder = log_dir / RUN
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        tf.summary.text("specification", _as_text(content))
    items = np.argsort(-content.item_counts, kind="stable")[:MOST_ITEMS]
    (folder / _METADATA).write_text(_metadata(content, items), "utf-8")
    heads = {"ranking": content.ranking, "rating": content.rating}
    config = projector.ProjectorConfig()
    for name, head in heads.items():
        if head is not None:
            file = f"{name}-items.tsv"
            np.savetxt(folder / file, head.item_factors[items], fmt="%.6g", delimiter="\t")
            config.embeddings.add(
                tensor_name=f"{name} head: items",
                tensor_path=file,
                tensor_shape=[len(items), head.item_factors.shape[1]],
                metadata_path=_METADATA,
            )
    projector.visualize_embeddings(str(folder), config)


def _metadata(content: SnapshotContent, items: NDArray[np.intp]) -> str:
    lines = ["title\tid\tratings\tmean rating"]
    for item in items.tolist():
        title = "" if content.item_titles is None else content.item_titles[item]
        cells = (title or content.item_ids[item], content.item_ids[item])
        mean = "" if content.item_means is None else f"{content.item_means[item]:.3f}"
        numbers = f"{content.item_counts[item]}\t{mean}"
        # A tab or a line break in a title would move what follows to another column or item.
        lines.append("\t".join([*(" ".join(cell.split()) for cell in cells), numbers]))
    return "\n".join(lines) + "\n"


def _as_text(content: SnapshotContent) -> str:
    """Markdown: an indented block."""
    text = json.dumps(content.facts.get("spec"), indent=2, ensure_ascii=False)
    return "\n".join(f"    {line}" for line in text.splitlines())
