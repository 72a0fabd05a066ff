"""What a person may want to see of a Keras network: its summary, and its graph as DOT and, where possible, PNG."""

from __future__ import annotations

import shutil
import subprocess

import keras

from mfserve_registry.artifacts import Artifact

_DRAWING_SECONDS = 30


def of(network: keras.Model) -> tuple[Artifact, ...]:
    """The summary and the DOT graph always; the PNG where Graphviz' ``dot`` is installed."""
    dot = str(keras.utils.model_to_dot(network, show_shapes=True, show_dtype=True)).encode()
    artifacts = [
        Artifact("rating-model-summary.txt", "text/plain", _summary(network).encode()),
        Artifact("rating-model-graph.dot", "text/vnd.graphviz", dot),
    ]
    picture = _drawn(dot)
    if picture is not None:
        artifacts.append(Artifact("rating-model-graph.png", "image/png", picture))
    return tuple(artifacts)


def _drawn(dot: bytes) -> bytes | None:
    """The graph as PNG; None where Graphviz is not installed or fails, for a picture is not worth a training."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        run = subprocess.run(
            [program, "-Tpng"], input=dot, capture_output=True, check=True, timeout=_DRAWING_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout


def _summary(network: keras.Model) -> str:
    lines: list[str] = []
    network.summary(print_fn=lambda line: lines.append(str(line)))
    return "\n".join(lines) + "\n"
