"""What the twins have in common: docstrings, and what a handle knows of its job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mfserve._types.enums import JobState
from mfserve._types.training import JobInfo

Function = TypeVar("Function", bound=Callable[..., Any])


def documented_as(original: Callable[..., Any]) -> Callable[[Function], Function]:
    """Gives a method the docstring of its twin."""

    def document(function: Function) -> Function:
        function.__doc__ = original.__doc__
        return function

    return document


class JobHandle:
    """A job as the server last described it."""

    def __init__(self, info: JobInfo) -> None:
        self._info = info

    @property
    def info(self) -> JobInfo:
        """Everything known about the job, as of the last answer."""
        return self._info

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._info.job_id

    @property
    def model(self) -> str:
        """Name of the model that is trained."""
        return self._info.model

    @property
    def state(self) -> JobState:
        """State, as of the last answer."""
        return self._info.state

    @property
    def version(self) -> int | None:
        """The version that was published; None unless SUCCEEDED."""
        return self._info.version

    @property
    def _seen(self) -> int:
        return self._info.progress.sequence if self._info.progress is not None else 0

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(job_id={self.job_id!r}, model={self.model!r}, state={self.state.value})"
        )
