"""What no request can carry is refused in the caller's words: which argument, what was given, what to give instead.

Protobuf judges every value that it is handed, so right ones are not looked at twice: the culprit is looked for only
where it has refused a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real
from reprlib import repr as short
from typing import Any, ParamSpec, SupportsIndex, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")
Built = TypeVar("Built", bound=Message)
Value = TypeVar("Value")

_REFUSED = (TypeError, ValueError, OverflowError)


class ArgumentValueError(ValueError):
    """An argument's type is right and its value is not. The command line tells this from other ValueErrors."""


_EXPECTED = {
    FieldDescriptor.CPPTYPE_INT32: "an int",
    FieldDescriptor.CPPTYPE_INT64: "an int",
    FieldDescriptor.CPPTYPE_UINT32: "an int",
    FieldDescriptor.CPPTYPE_UINT64: "an int",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "True or False",
}


def built(kind: Callable[Arguments, Built], *_: Arguments.args, **fields: Arguments.kwargs) -> Built:
    """A message of these fields, which are named as the arguments are; what repeats comes as a list.

    TypeError or ValueError names the field that protobuf refuses, such as ``exclude_item_ids[3]``.
    """
    try:
        return kind(**fields)  # type: ignore[call-arg]  # a message has no positional arguments
    except _REFUSED:
        for name, value in fields.items():
            _judge(kind, name, value)
        raise


def _judge(kind: Any, name: str, value: Any) -> None:
    field: FieldDescriptor = kind.DESCRIPTOR.fields_by_name[name]
    parts = (
        [(f"{name}[{position}]", part, [part]) for position, part in enumerate(value)]
        if field.is_repeated
        else [(name, value, value)]
    )
    for place, part, alone in parts:
        try:
            kind(**{name: alone})
        except _REFUSED as error:
            raise _refusal(place, part, field) from error


def _refusal(place: str, value: object, field: FieldDescriptor) -> Exception:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text(place, value)
    expected = _EXPECTED.get(field.cpp_type, "something else")
    if type(value) is not bool and isinstance(value, Integral):
        return ArgumentValueError(f"{place} is out of range: {short(int(value))}")
    return TypeError(f"{place} must be {expected}, not {given(value)}")


def given(value: object) -> str:
    """A value in words, with its type and not at length."""
    return "None" if value is None else f"{type(value).__name__} {short(value)}"


def text(place: str, value: object) -> str:
    """A text that can be sent. Protobuf alone would take bytes for one, and None for an empty one."""
    if not isinstance(value, str):
        instead = f": give {str(value)!r}" if isinstance(value, Integral) else ""
        raise TypeError(f"{place} must be a str, not {given(value)}{instead}")
    if value.isascii():  # nearly always, and in no time
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentValueError(
            f"{place} must be text in UTF-8, not {short(value)}: its character {error.start} is a lone surrogate"
        ) from None
    return value


def texts(name: str, values: Iterable[object], start: int = 0) -> None:
    """Texts that can be sent; one that cannot is named with its position, counted from ``start``."""
    for position, value in enumerate(values, start):
        text(f"{name}[{position}]", value)


def iterator(name: str, values: Iterable[Value]) -> Iterator[Value]:
    """Over several values. A text is an iterable of texts too, and a table one of names: neither was ever meant."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} takes several entries: put the one in a list")
    if hasattr(values, "columns"):
        raise TypeError(f"{name} takes one column of a table, not a {type(values).__name__}")
    try:
        return iter(values)
    except TypeError:
        raise TypeError(f"{name} must be a list or another iterable, not {given(values)}") from None


def each(name: str, values: Iterable[Value], make: Callable[[Value], Built], start: int = 0) -> list[Built]:
    """``make`` of each value; what it refuses is named with its position, counted from ``start``."""
    made: list[Built] = []
    for value in values:
        try:
            made.append(make(value))
        except (TypeError, ValueError) as error:
            raise _placed(f"{name}[{start + len(made)}]", error) from error
    return made


@contextmanager
def within(name: str) -> Iterator[None]:
    """What is refused is a part of the argument of this name."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise _placed(name, error) from error


def _placed(place: str, error: Exception) -> Exception:
    kind = TypeError if isinstance(error, TypeError) else ArgumentValueError
    return kind(f"{place}: {error}")


def one_of(name: str, value: object, numbers: Mapping[Any, int]) -> Any:
    """The number of an enumeration's value; Any, because each enumeration has an integer type of its own."""
    number = numbers.get(value.upper()) if isinstance(value, str) else None
    if number is None:
        names = ", ".join(repr(known.lower()) for known in numbers)
        raise ArgumentValueError(f"{name} must be one of {names}, not {given(value)}")
    return number


def whole(name: str, value: SupportsIndex, least: int, most: int) -> int:
    """A whole number within a range."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an int, not {given(value)}")
    if not least <= (number := value.__index__()) <= most:
        raise ArgumentValueError(f"{name} must be {least} to {most}, not {number}")
    return number


def seconds(timeout: object) -> float:
    """A timeout. Grpc would take one that is 0 or less for one that has passed, and NaN for anything."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(
            f"timeout must be a number of seconds, not {given(timeout)}; math.inf sets no deadline"
        )
    if not (number := float(timeout)) > 0:  # NaN is not either
        raise ArgumentValueError(f"timeout must be above 0 seconds, not {timeout}; math.inf sets no deadline")
    return number


def timed(method: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Lets a method check ``timeout``, its last argument, or None, when it is called, also where it is a generator."""

    @wraps(method)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        timeout = kwargs["timeout"] if "timeout" in kwargs else args[-1]
        if timeout is not None:
            seconds(timeout)
        return method(*args, **kwargs)

    return checked
