"""Training specifications and data sets, into the protocol's messages and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from mfserve._client.arguments import built, one_of, text, within
from mfserve._client.names import HEAD
from mfserve._types import spec as types
from mfserve.v1 import common_pb2
from mfserve.v1 import training_service_pb2 as training_pb
from mfserve.v1 import training_spec_pb2 as spec_pb

Options = TypeVar("Options")

# Our class of a choice, by the name of its field in TrainingSpec.
_CHOICES: Final[dict[str, type[Any]]] = {
    "keras": types.Keras,
    "als": types.Als,
    "bayes": types.Bayes,
    "no_rating": types.NoRating,
    "auto": types.AutoRating,
    "ials": types.Ials,
    "no_ranking": types.NoRanking,
    "keyed_hash": types.KeyedHash,
    "random": types.RandomSplit,
    "no_split": types.NoSplit,
}
_ONEOFS: Final = {
    oneof.name: [field.name for field in oneof.fields] for oneof in spec_pb.TrainingSpec.DESCRIPTOR.oneofs
}
_FIELDS: Final = {choice: field for field, choice in _CHOICES.items()}
_MESSAGES: Final[dict[type[Any], type[Message]]] = {
    types.Keras: spec_pb.KerasConfig,
    types.Als: spec_pb.AlsConfig,
    types.Bayes: spec_pb.BayesConfig,
    types.NoRating: spec_pb.NoRating,
    types.AutoRating: spec_pb.AutoRating,
    types.Ials: spec_pb.IalsConfig,
    types.NoRanking: spec_pb.NoRanking,
    types.KeyedHash: spec_pb.KeyedHashSplit,
    types.RandomSplit: spec_pb.RandomSplit,
    types.NoSplit: spec_pb.NoSplit,
}


def spec_message(spec: types.TrainingSpec) -> spec_pb.TrainingSpec:
    """The protocol's message; what is None stays absent."""
    chosen = {}
    for name, choice in (("rating", spec.rating), ("ranking", spec.ranking), ("split", spec.split)):
        if choice is None:
            continue
        field = _FIELDS.get(type(choice))
        if field not in _ONEOFS[name]:
            raise TypeError(f"{choice!r} cannot be the {name} of a training")
        with within(name):
            chosen[field] = built(_MESSAGES[type(choice)], **_given(choice))
    # The values come out of a table by type, which mypy cannot follow.
    untyped: dict[str, Any] = chosen
    return built(
        spec_pb.TrainingSpec,
        **untyped,
        refit=spec.refit,
        seed=spec.seed,
        tuning=None if spec.tuning is None else _tuning_message(spec.tuning),
        index=None if spec.index is None else _index_message(spec.index),
    )


def spec_from(message: spec_pb.TrainingSpec) -> types.TrainingSpec:
    """Ours; a choice that this release does not know is None."""
    return types.TrainingSpec(
        rating=_chosen(message, "rating"),
        ranking=_chosen(message, "ranking"),
        split=_chosen(message, "split"),
        refit=message.refit if message.HasField("refit") else None,
        seed=message.seed if message.HasField("seed") else None,
        tuning=_tuning_from(message.tuning) if message.HasField("tuning") else None,
        index=_present(message.index, types.Index) if message.HasField("index") else None,
    )


def dataset_message(dataset: types.Dataset) -> spec_pb.Dataset:
    """The protocol's message; what is None stays absent."""
    message = spec_pb.Dataset()
    match dataset.source:
        case types.BuiltinDataset(name):
            message.builtin.name = text("dataset", name)
        case types.FileDataset() as file:
            message.file.CopyFrom(_file_message(file))
        case types.UploadedDataset(upload_id):
            message.upload.upload_id = text("upload_id", upload_id)
        case _:
            raise TypeError(f"a data set has no source {dataset.source!r}")
    if dataset.bad_rows is not None:
        message.bad_rows = one_of("bad_rows", dataset.bad_rows, _BAD_ROWS)
    if dataset.duplicates is not None:
        message.duplicates = one_of("duplicates", dataset.duplicates, _DUPLICATES)
    message.implicit = dataset.implicit
    if dataset.scale is not None:
        message.scale.CopyFrom(_scale_message(dataset.scale))
    return message


def dataset_from(message: spec_pb.Dataset) -> types.Dataset:
    """Ours; what this release does not know is None."""
    source: types.BuiltinDataset | types.FileDataset | types.UploadedDataset | None = None
    match message.WhichOneof("source"):
        case "builtin":
            source = types.BuiltinDataset(message.builtin.name)
        case "file":
            source = _file_from(message.file)
        case "upload":
            source = types.UploadedDataset(message.upload.upload_id)
        case None:
            pass
    return types.Dataset(
        source=source,
        bad_rows=_word(message.bad_rows, _BAD_ROWS),
        duplicates=_word(message.duplicates, _DUPLICATES),
        scale=scale_from(message.scale) if message.HasField("scale") else None,
        implicit=message.implicit,
    )


def scale_from(message: common_pb2.RatingScale) -> types.RatingScale:
    """Ours for the protocol's."""
    return types.RatingScale(message.minimum, message.maximum)


def _scale_message(scale: types.RatingScale) -> common_pb2.RatingScale:
    with within("scale"):
        return built(common_pb2.RatingScale, minimum=scale.minimum, maximum=scale.maximum)


def _numbers(enumeration: Any, prefix: str) -> dict[str, int]:
    return {
        value.name.removeprefix(prefix): value.number
        for value in enumeration.DESCRIPTOR.values
        if value.number
    }


def _word(number: int, numbers: dict[str, int]) -> Any:
    return next((name.lower() for name, known in numbers.items() if known == number), None)


_BAD_ROWS: Final = _numbers(spec_pb.BadRows, "BAD_ROWS_")
_DUPLICATES: Final = _numbers(spec_pb.Duplicates, "DUPLICATES_")
_FORMATS: Final = _numbers(spec_pb.FileFormat, "FILE_FORMAT_")


def _tuning_message(tuning: types.Tuning) -> spec_pb.TuningConfig:
    with within("tuning"):
        given = _given(tuning) | {"head": HEAD.write_optional("head", tuning.head)}
        return built(spec_pb.TuningConfig, **given)


def _index_message(index: types.Index) -> spec_pb.IndexConfig:
    with within("index"):
        return built(spec_pb.IndexConfig, **_given(index))


def gates_message(gates: types.PromotionGates) -> training_pb.PromotionGates:
    """The protocol's message; what is None stays absent."""
    with within("gates"):
        return built(training_pb.PromotionGates, **_given(gates))


def gates_from(message: training_pb.PromotionGates) -> types.PromotionGates:
    """Ours."""
    # As ListFields has them: what is set, and `off` where it is true.
    present: dict[str, Any] = {field.name: value for field, value in message.ListFields()}
    return types.PromotionGates(**present)


def _tuning_from(message: spec_pb.TuningConfig) -> types.Tuning:
    names: tuple[Any, ...] = ("trials", "seconds", "validation_fraction")
    present: dict[str, Any] = {name: getattr(message, name) for name in names if message.HasField(name)}
    return types.Tuning(**present, head=HEAD.read_optional(message.head))


def _given(options: Any) -> dict[str, Any]:
    pairs = ((field.name, getattr(options, field.name)) for field in fields(options))
    return {name: value for name, value in pairs if value is not None}


def _present(message: Message, options: type[Options]) -> Options:
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]  # a dataclass, out of the table
    return options(**{name: getattr(message, name) for name in names if message.HasField(name)})


def _chosen(message: spec_pb.TrainingSpec, oneof: Any) -> Any:
    field: str | None = message.WhichOneof(oneof)
    if field is None or field not in _CHOICES:
        return None
    return _present(getattr(message, field), _CHOICES[field])


def _file_message(file: types.FileDataset) -> spec_pb.FileDataset:
    given = _given(file)
    if file.format is not None:
        given["format"] = one_of("format", file.format, _FORMATS)
    return built(spec_pb.FileDataset, **given)


def _file_from(message: spec_pb.FileDataset) -> types.FileDataset:
    columns: tuple[Any, ...] = (
        "user_column",
        "item_column",
        "rating_column",
        "timestamp_column",
        "title_column",
    )
    present: dict[str, Any] = {name: getattr(message, name) for name in columns if message.HasField(name)}
    return types.FileDataset(message.path, _word(message.format, _FORMATS), **present)
