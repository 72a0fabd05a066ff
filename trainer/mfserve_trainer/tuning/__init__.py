"""Searches the parameters of the engines on a validation part of the training rows, before the fits.

Optuna takes a moment to import, so it is loaded when a tuning is asked for: by ``tune``'s module, not by this one.
"""

from __future__ import annotations

from mfserve_trainer.tuning.heads import HEADS, TunedHead, tuned_heads

__all__ = ["HEADS", "TunedHead", "tuned_heads"]
