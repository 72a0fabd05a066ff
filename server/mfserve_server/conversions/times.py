"""Moments as the API sends them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve_registry.errors import InvalidArgument

# What a Timestamp can hold.
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Of a timezone-aware moment; None stays None, which protobuf's constructors take as absent."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp, field: str) -> datetime:
    """To the microsecond. InvalidArgument where it is no time from year 1 to 9999."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("This is no time from year 1 to 9999.", field=field) from error


def since_epoch(seconds: int | None) -> Timestamp | None:
    """None also where the number is no time from year 1 to 9999: milliseconds, say, that were taken for seconds."""
    return None if seconds is None or not _YEAR_1 <= seconds < _YEAR_10000 else Timestamp(seconds=seconds)


def duration(seconds: float | None) -> Duration | None:
    return None if seconds is None else Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
