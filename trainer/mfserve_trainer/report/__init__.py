"""The report that is stored with a version: one HTML page with pictures."""

from mfserve_trainer.report.draw import draw
from mfserve_trainer.report.guard import guarded
from mfserve_trainer.report.holdout import Holdout
from mfserve_trainer.report.page import NAME, page

__all__ = ["NAME", "Holdout", "draw", "guarded", "page"]
