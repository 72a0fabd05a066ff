"""What the fields of a training are called on the command line, so that an error names what was typed."""

from __future__ import annotations

import re

# Where fields and options have the same names, but for what stands before them.
_ALIKE = {
    "": ("request_id",),
    "spec.": ("seed",),
    "spec.tuning.": ("trials", "seconds", "head"),
    "spec.als.": ("factors", "regularization", "iterations"),
    "spec.bayes.": ("factors", "burn_in", "samples", "served_factors", "interaction_features"),
    "spec.keras.": (
        "factors",
        "epochs",
        "batch_size",
        "learning_rate",
        "biases",
        "l2",
        "non_negative",
        "validation_fraction",
    ),
    "spec.ials.": ("unobserved_weight", "frequency_exponent"),
    "gates.": (
        "max_rmse_increase",
        "max_ndcg_decrease",
        "max_norm_factor",
        "min_vocabulary_share",
        "min_overlap",
    ),
    "dataset.": ("bad_rows", "duplicates", "scale", "implicit"),
    "dataset.file.": (
        "format",
        "user_column",
        "item_column",
        "rating_column",
        "timestamp_column",
        "title_column",
    ),
}
OPTIONS = {
    f"{before}{name}": f"--{name.replace('_', '-')}" for before, names in _ALIKE.items() for name in names
} | {
    "promote_to_alias": "--promote-to",
    "dataset.builtin.name": "DATASET",
    "dataset.file.path": "DATASET",
    "dataset.scale.minimum": "--scale",
    "dataset.scale.maximum": "--scale",
    "spec.auto": "--engine auto",
    "spec.als": "--engine als",
    "spec.bayes": "--engine bayes",
    "spec.keras": "--engine keras",
    "spec.no_rating": "--engine none",
    "spec.ials": "--ranking ials",
    "spec.no_ranking": "--ranking none",
    "spec.no_split": "--split none",
    "spec.keras.early_stopping_patience": "--early-stopping",
    "spec.ials.factors": "--ranking-factors",
    "spec.ials.iterations": "--ranking-iterations",
    "spec.ials.regularization": "--ranking-regularization",
    "spec.index.recall": "--index-recall",
    "spec.index.clusters": "--index-clusters",
    "spec.keyed_hash.fraction": "--holdout",
    "spec.keyed_hash.key": "--split-key",
    "spec.random.fraction": "--holdout",
    "spec.random.seed": "--split-seed",
    "spec.tuning.validation_fraction": "--validation-share",
    "spec.refit": "--no-refit",
    "gates.off": "--no-gates",
}
"""By the path of the field in a TrainRequest, as errors name it."""

# What stands in quotation marks is somebody's data, and what goes on after a dot another field.
_FIELD = re.compile(
    rf"(?<![\w.'\"])({'|'.join(map(re.escape, sorted(OPTIONS, key=len, reverse=True)))})(?![\w'\"]|\.\w)"
)


def as_typed(message: str) -> str:
    """The message, with an option in the place of every field that has one."""
    return _FIELD.sub(lambda found: OPTIONS[found[1]], message)
