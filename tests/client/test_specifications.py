"""The typed options have the fields of the protocol's messages, and survive the way there and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve import (
    Als,
    AutoRating,
    Bayes,
    Head,
    Ials,
    Index,
    Keras,
    KeyedHash,
    NoRanking,
    NoRating,
    NoSplit,
    RandomSplit,
    Tuning,
)
from mfserve._client import names
from mfserve._client.names import Names
from mfserve._client.spec import dataset_from, dataset_message, spec_from, spec_message
from mfserve.types import BuiltinDataset, Dataset, FileDataset, RatingScale, TrainingSpec, UploadedDataset
from mfserve.v1 import training_spec_pb2 as spec_pb

PAIRS: list[tuple[type[Any], Any]] = [
    (Keras, spec_pb.KerasConfig),
    (Als, spec_pb.AlsConfig),
    (Bayes, spec_pb.BayesConfig),
    (Ials, spec_pb.IalsConfig),
    (AutoRating, spec_pb.AutoRating),
    (NoRating, spec_pb.NoRating),
    (NoRanking, spec_pb.NoRanking),
    (KeyedHash, spec_pb.KeyedHashSplit),
    (RandomSplit, spec_pb.RandomSplit),
    (NoSplit, spec_pb.NoSplit),
    (FileDataset, spec_pb.FileDataset),
    (Tuning, spec_pb.TuningConfig),
    (Index, spec_pb.IndexConfig),
]


@pytest.mark.parametrize(("ours", "message"), PAIRS)
def test_fields_of_the_options(ours: type[Any], message: Any) -> None:
    assert [field.name for field in fields(ours)] == [field.name for field in message.DESCRIPTOR.fields]


def test_every_choice_of_a_specification_has_a_class() -> None:
    classes = {message.DESCRIPTOR.full_name for _, message in PAIRS}
    for oneof in spec_pb.TrainingSpec.DESCRIPTOR.oneofs:
        for field in oneof.fields:
            if field.message_type is not None:
                assert field.message_type.full_name in classes


@pytest.mark.parametrize("table", [value for value in vars(names).values() if isinstance(value, Names)])
def test_every_value_of_an_enumeration_has_a_name(table: Names[Any]) -> None:
    members = [member for member in table.members if member is not table.unknown]
    assert [table.read(table.write("it", member)) for member in members] == members
    assert [table.write("it", member.value.lower()) for member in members] == list(range(1, 1 + len(members)))
    assert table.read(1 + len(members)) is table.unknown
    assert table.read_optional(0) is None
    assert table.write_optional("it", None) == 0


small = st.one_of(st.none(), st.integers(1, 2**31 - 1))
real = st.one_of(st.none(), st.floats(allow_nan=False))
yes_or_no = st.one_of(st.none(), st.booleans())
text = st.text(st.characters(exclude_categories=["Cs"]))
maybe_text = st.one_of(st.none(), text)

specs = st.builds(
    TrainingSpec,
    rating=st.one_of(
        st.none(),
        st.just(AutoRating()),
        st.just(NoRating()),
        st.builds(Als, factors=small, iterations=small, regularization=real),
        st.builds(Bayes, factors=small, burn_in=small, interaction_features=small),
        st.builds(Keras, factors=small, l2=real, biases=yes_or_no, early_stopping_patience=small),
    ),
    ranking=st.one_of(
        st.none(), st.just(NoRanking()), st.builds(Ials, factors=small, unobserved_weight=real)
    ),
    split=st.one_of(
        st.none(),
        st.just(NoSplit()),
        st.builds(KeyedHash, fraction=real, key=maybe_text),
        st.builds(RandomSplit, fraction=real, seed=small),
    ),
    refit=yes_or_no,
    seed=small,
    tuning=st.one_of(
        st.none(),
        st.builds(
            Tuning,
            trials=small,
            seconds=real,
            validation_fraction=real,
            head=st.sampled_from([None, Head.RATING, Head.RANKING]),
        ),
    ),
    index=st.none() | st.builds(Index, recall=real, clusters=small),
)

datasets = st.builds(
    Dataset,
    source=st.one_of(
        st.builds(BuiltinDataset, text),
        st.builds(UploadedDataset, text),
        st.builds(
            FileDataset,
            path=text,
            format=st.sampled_from([None, "csv", "tsv", "parquet"]),
            user_column=maybe_text,
            title_column=maybe_text,
        ),
    ),
    bad_rows=st.sampled_from([None, "fail", "skip"]),
    duplicates=st.sampled_from([None, "fail", "first", "last", "mean"]),
    scale=st.one_of(st.none(), st.builds(RatingScale, st.floats(-10, 0), st.floats(1, 10))),
    implicit=st.booleans(),
)


@given(specs)
def test_a_specification_survives(spec: TrainingSpec) -> None:
    assert spec_from(spec_pb.TrainingSpec.FromString(spec_message(spec).SerializeToString())) == spec


@given(datasets)
def test_a_data_set_survives(dataset: Dataset) -> None:
    assert dataset_from(spec_pb.Dataset.FromString(dataset_message(dataset).SerializeToString())) == dataset


def test_what_is_in_the_wrong_place_is_refused() -> None:
    wrong: Any = Ials()
    with pytest.raises(TypeError, match="cannot be the rating of a training"):
        spec_message(TrainingSpec(rating=wrong))
    wrong = "keras"
    with pytest.raises(TypeError, match="cannot be the rating"):
        spec_message(TrainingSpec(rating=wrong))
    wrong = "sometimes"
    with pytest.raises(ValueError, match="bad_rows must be one of 'fail', 'skip', not str 'sometimes'"):
        dataset_message(Dataset(BuiltinDataset("x"), bad_rows=wrong))
