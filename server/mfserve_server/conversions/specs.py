"""Training specifications, data sets and the bounds of gates, both ways.

The messages have the field names of the pydantic models in ``mfserve_registry``, so that values are copied
generically and every default and limit is said once, there. What differs: a choice is a tagged union in pydantic and
a oneof here, whose members ``_Choice`` lists; and an enum's value is a word in pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mfserve.v1 import training_service_pb2 as training_pb
from mfserve.v1 import training_spec_pb2 as spec_pb
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.gates import PromotionGates
from mfserve_registry.spec import DatasetSpec, TrainingSpec
from mfserve_server.errors import InvalidFields, Violation

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A oneof and its tagged union: the name of the tag's field, and the tags by the oneof's members."""

    tag: str
    tags: Mapping[str, str]


_CHOICES = {
    "source": _Choice("kind", {"builtin": "builtin", "file": "file", "upload": "upload"}),
    "rating": _Choice(
        "engine", {"keras": "keras", "bayes": "bayes", "als": "als", "no_rating": "none", "auto": "auto"}
    ),
    "ranking": _Choice("engine", {"ials": "ials", "no_ranking": "none"}),
    "split": _Choice("kind", {"keyed_hash": "keyed_hash", "random": "random", "no_split": "none"}),
}

# Words of pydantic by the names of enum values; value 0 means the default.
_WORDS = {
    "Head": {"HEAD_RANKING": "ranking", "HEAD_RATING": "rating"},
    "FileFormat": {"FILE_FORMAT_CSV": "csv", "FILE_FORMAT_TSV": "tsv", "FILE_FORMAT_PARQUET": "parquet"},
    "BadRows": {"BAD_ROWS_FAIL": "fail", "BAD_ROWS_SKIP": "skip"},
    "Duplicates": {
        "DUPLICATES_FAIL": "fail",
        "DUPLICATES_FIRST": "first",
        "DUPLICATES_LAST": "last",
        "DUPLICATES_MEAN": "mean",
    },
}


def training_spec(message: spec_pb.TrainingSpec) -> TrainingSpec:
    """InvalidFields, with paths that begin with ``spec``, where a value is outside its limits."""
    return _validated(TrainingSpec, _values(message, "spec"), "spec")


def dataset_spec(message: spec_pb.Dataset) -> DatasetSpec:
    """InvalidFields, with paths that begin with ``dataset``, where a value is outside its limits."""
    if message.WhichOneof("source") is None:
        raise InvalidArgument("Say where the ratings are: builtin, file or upload.", field="dataset.source")
    return _validated(DatasetSpec, _values(message, "dataset"), "dataset")


def promotion_gates(message: training_pb.PromotionGates) -> PromotionGates:
    """InvalidFields, with paths that begin with ``gates``, where a value is outside its limits."""
    return _validated(PromotionGates, _values(message, "gates"), "gates")


def training_spec_message(spec: TrainingSpec) -> spec_pb.TrainingSpec:
    message = spec_pb.TrainingSpec()
    _fill(message, spec.model_dump())
    return message


def gates_message(gates: PromotionGates) -> training_pb.PromotionGates:
    message = training_pb.PromotionGates()
    _fill(message, gates.model_dump())
    return message


def dataset_message(spec: DatasetSpec) -> spec_pb.Dataset:
    message = spec_pb.Dataset()
    _fill(message, spec.model_dump())
    return message


def _values(message: Message, path: str) -> dict[str, Any]:
    """What is set in ``message``, in pydantic's form. ``path`` names it in errors."""
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        # A plain number that is 0 is sent as nothing, and meant; an enum's 0 means its default.
        if (
            (not message.HasField(field.name))
            if field.has_presence
            else (field.enum_type is not None and value == 0)
        ):
            continue
        converted = _value(field, value, f"{path}.{field.name}")
        oneof = "" if field.containing_oneof is None else field.containing_oneof.name
        choice = _CHOICES.get(oneof)
        if choice is None:
            values[field.name] = converted
        else:
            values[oneof] = {choice.tag: choice.tags[field.name], **converted}
    return values


def _value(field: Any, value: Any, path: str) -> Any:
    if field.message_type is not None:
        return _values(value, path)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        word = None if known is None else _WORDS[field.enum_type.name].get(known.name)
        if word is None:
            raise InvalidArgument(f"There is no {field.enum_type.name} of number {value}.", field=path)
        return word
    return value


def _fill(message: Message, values: Mapping[str, Any]) -> None:
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        if value is None:
            continue
        choice = _CHOICES.get(name)
        if choice is not None and name not in fields:
            members = {tag: member for member, tag in choice.tags.items()}
            part = getattr(message, members[value[choice.tag]])
            part.SetInParent()
            _fill(part, {key: inner for key, inner in value.items() if key != choice.tag})
        elif name in fields:
            _set(message, fields[name], value)


def _set(message: Message, field: Any, value: Any) -> None:
    if field.message_type is not None:
        _fill(getattr(message, field.name), value)
    elif field.enum_type is not None:
        names = {word: name for name, word in _WORDS[field.enum_type.name].items()}
        # A word without a name ("auto") is the enum's 0.
        number = field.enum_type.values_by_name[names[value]].number if value in names else 0
        setattr(message, field.name, number)
    else:
        setattr(message, field.name, value)


def _validated(model: type[M], values: dict[str, Any], path: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise InvalidFields(
            [Violation(_proto_path(path, detail), _sentence(detail)) for detail in details]
        ) from None


def _proto_path(path: str, detail: ErrorDetails) -> str:
    """``("rating", "als", "factors")`` is ``spec.als.factors``: the API's path names the oneof's member only."""
    parts = [path]
    choice: _Choice | None = None
    for part in map(str, detail["loc"]):
        if choice is not None:
            parts.append({tag: member for member, tag in choice.tags.items()}.get(part, part))
            choice = None
        elif part in _CHOICES and len(detail["loc"]) > 1:
            choice = _CHOICES[part]
        else:
            parts.append(part)
    return ".".join(parts)


def _sentence(detail: ErrorDetails) -> str:
    given = detail["input"]
    if given != given:  # noqa: PLR0124 - NaN is on neither side of any bound, of which pydantic names one
        return "It must be a number, not NaN."
    return f"{detail['msg'].removeprefix('Value error, ').rstrip('.')}."
