"""What a collection is asked for, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mfserve_registry.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Retention:
    """What is to be kept, beside what somebody needs now.

    Attributes:
        keep_last: of each model's versions, the newest so many; 1 or more. None: all, no version is deleted.
        keep_uploads: uploads for so long after they came or a training with them ended. None: for good.
        named_within: versions that an alias named within so long; for ``keep_last``.
        grace: whatever is younger: versions, files, and the files of what was deleted. As long as a publication or an
            upload takes at least, where one of an earlier release may be under way: those take no locks.

    Raises:
        InvalidArgument: a number below 1, a negative time.
    """

    keep_last: int | None = None
    keep_uploads: timedelta | None = None
    named_within: timedelta = timedelta(days=30)
    grace: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise InvalidArgument("At least the newest version of a model is kept.", field="keep_last")
        for name in ("keep_uploads", "named_within", "grace"):
            if (getattr(self, name) or timedelta()) < timedelta():
                raise InvalidArgument("A time for which something is kept is not negative.", field=name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one thing.

    Attributes:
        name: ``movies version 3``, ``upload <id>``, or a name in the store such as ``snapshots/<digest>``.
        goes: whether it is deleted, or removed from the store; else it stays.
        why: the reason, for people.
        size_bytes: of what is in the store; 0 for what is only marked in the database.
    """

    name: str
    goes: bool
    why: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected, or would be.

    Attributes:
        verdicts: on the versions, and on the uploads, where some were to be deleted; and on everything in the store
            that nothing in the database names, or only a version that is deleted.
        named: how many things in the store are named, and stay.
        named_bytes: their bytes.
        missing: names in the store that the database knows, and nothing has.
    """

    verdicts: tuple[Verdict, ...]
    named: int
    named_bytes: int
    missing: tuple[str, ...] = ()

    @property
    def freed_bytes(self) -> int:
        return sum(verdict.size_bytes for verdict in self.verdicts if verdict.goes)
