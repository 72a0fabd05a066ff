"""Training specifications and data sets as messages: nothing is lost either way, and errors name proto paths."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mfserve.v1 import training_spec_pb2 as spec_pb
from mfserve_registry import spec as registry
from mfserve_registry.errors import InvalidArgument
from mfserve_server.conversions.specs import (
    dataset_message,
    dataset_spec,
    training_spec,
    training_spec_message,
)
from mfserve_server.errors import InvalidFields

fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)
names = st.text(min_size=1, max_size=64).filter(lambda text: text.encode(errors="ignore").decode() == text)
rating_engines = st.one_of(
    st.builds(
        registry.KerasConfig,
        factors=st.integers(1, 1024),
        epochs=st.integers(1, 1000),
        batch_size=st.integers(1, 1_048_576),
        learning_rate=st.floats(1e-9, 10),
        biases=st.booleans(),
        l2=st.floats(0, 100),
        non_negative=st.booleans(),
        early_stopping_patience=st.none() | st.integers(1, 1000),
        validation_fraction=fractions,
    ),
    st.builds(
        registry.AlsConfig,
        factors=st.integers(1, 512),
        iterations=st.integers(1, 500),
        regularization=st.floats(1e-9, 1000),
    ),
    st.builds(
        registry.BayesConfig,
        factors=st.integers(1, 128),
        burn_in=st.integers(0, 10_000),
        samples=st.integers(40, 10_000),
        served_factors=st.integers(1, 512),
        interaction_features=st.integers(0, 512),
    ),
    st.just(registry.AutoRating()),
    st.just(registry.NoRating()),
)
ranking_engines = st.one_of(
    st.builds(
        registry.IalsConfig,
        factors=st.integers(1, 1024),
        iterations=st.integers(1, 500),
        regularization=st.floats(1e-9, 1000),
        unobserved_weight=st.floats(1e-9, 1000),
        frequency_exponent=st.floats(0, 2),
    ),
    st.just(registry.NoRanking()),
)
splits = st.one_of(
    st.builds(registry.KeyedHashSplit, fraction=fractions, key=names),
    st.builds(registry.RandomSplit, fraction=fractions, seed=seeds),
    st.just(registry.NoSplit()),
)
heads = st.tuples(rating_engines, ranking_engines).filter(
    lambda pair: pair != (registry.NoRating(), registry.NoRanking())
)
specs = st.builds(
    lambda pair, **rest: registry.TrainingSpec(rating=pair[0], ranking=pair[1], **rest),
    heads,
    split=splits,
    refit=st.booleans(),
    seed=seeds,
    tuning=st.none()
    | st.builds(
        registry.TuningConfig,
        trials=st.integers(1, 1000),
        seconds=st.none() | st.floats(1e-3, 604_800),
        validation_fraction=fractions,
        head=st.sampled_from(["both", "rating"]),
    ),
)
sources = st.one_of(
    st.builds(registry.BuiltinDataset, name=st.sampled_from(registry.BUILTIN_DATASETS)),
    st.builds(
        registry.FileDataset,
        path=names,
        format=st.sampled_from(["auto", "csv", "tsv", "parquet"]),
        user_column=names,
        item_column=names,
        rating_column=names,
        timestamp_column=st.none() | names,
        title_column=st.none() | names,
    ),
    st.builds(registry.UploadedDataset, upload_id=names),
)
scales = st.none() | st.builds(registry.RatingScale, minimum=st.floats(-9, 0), maximum=st.floats(1, 9))
datasets = st.builds(
    lambda scale, implicit, **rest: registry.DatasetSpec(
        scale=None if implicit else scale, implicit=implicit, **rest
    ),
    source=sources,
    bad_rows=st.sampled_from(["fail", "skip"]),
    duplicates=st.sampled_from(["fail", "first", "last", "mean"]),
    scale=scales,
    implicit=st.booleans(),
)


@given(specs)
def test_a_training_spec_survives_the_way_there_and_back(spec: registry.TrainingSpec) -> None:
    sent = spec_pb.TrainingSpec.FromString(training_spec_message(spec).SerializeToString())
    assert training_spec(sent) == spec


@given(datasets)
def test_a_data_set_survives_the_way_there_and_back(spec: registry.DatasetSpec) -> None:
    sent = spec_pb.Dataset.FromString(dataset_message(spec).SerializeToString())
    assert dataset_spec(sent) == spec


def test_an_empty_message_takes_the_defaults_and_shows_them() -> None:
    spec = training_spec(spec_pb.TrainingSpec())
    assert spec == registry.TrainingSpec()
    message = training_spec_message(spec)
    assert message.WhichOneof("rating") == "auto"
    assert message.ials.iterations == registry.IalsConfig().iterations
    assert message.keyed_hash.key == "mfserve"
    assert message.refit


def test_the_messages_have_all_fields_of_the_models_and_no_others() -> None:
    pairs: list[tuple[type[BaseModel], Any]] = [
        (registry.KerasConfig, spec_pb.KerasConfig),
        (registry.AlsConfig, spec_pb.AlsConfig),
        (registry.BayesConfig, spec_pb.BayesConfig),
        (registry.IalsConfig, spec_pb.IalsConfig),
        (registry.AutoRating, spec_pb.AutoRating),
        (registry.NoRating, spec_pb.NoRating),
        (registry.NoRanking, spec_pb.NoRanking),
        (registry.KeyedHashSplit, spec_pb.KeyedHashSplit),
        (registry.RandomSplit, spec_pb.RandomSplit),
        (registry.NoSplit, spec_pb.NoSplit),
        (registry.BuiltinDataset, spec_pb.BuiltinDataset),
        (registry.FileDataset, spec_pb.FileDataset),
        (registry.UploadedDataset, spec_pb.UploadedDataset),
        (registry.TuningConfig, spec_pb.TuningConfig),
    ]
    for model, message in pairs:
        assert set(model.model_fields) - {"kind", "engine"} == set(message.DESCRIPTOR.fields_by_name)
    words = get_args(registry.DatasetSpec.model_fields["duplicates"].annotation)
    assert len(words) == len(spec_pb.Duplicates.keys()) - 1


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ('{"als": {"factors": 0}}', ["spec.als.factors"]),
        ('{"als": {"regularization": "NaN"}}', ["spec.als.regularization"]),
        ('{"keras": {"factors": 0, "epochs": 1001}}', ["spec.keras.factors", "spec.keras.epochs"]),
        ('{"ials": {"frequency_exponent": 3}}', ["spec.ials.frequency_exponent"]),
        ('{"keyed_hash": {"fraction": 1}}', ["spec.keyed_hash.fraction"]),
        ('{"random": {"seed": -1}}', ["spec.random.seed"]),
        ('{"seed": 4294967296}', ["spec.seed"]),
        ('{"no_rating": {}, "no_ranking": {}}', ["spec"]),
        ('{"tuning": {"trials": 0, "seconds": 0}}', ["spec.tuning.trials", "spec.tuning.seconds"]),
        ('{"tuning": {"validation_fraction": 1}}', ["spec.tuning.validation_fraction"]),
        ('{"tuning": {"head": "HEAD_RANKING"}, "no_ranking": {}}', ["spec"]),
        ('{"index": {"recall": 1, "clusters": 0}}', ["spec.index.recall", "spec.index.clusters"]),
        ('{"index": {}, "no_ranking": {}}', ["spec"]),
    ],
)
def test_a_wrong_specification_names_the_fields_of_the_proto(message: str, fields: list[str]) -> None:
    with pytest.raises(InvalidFields) as raised:
        training_spec(json_format.Parse(message, spec_pb.TrainingSpec()))
    assert [violation.field for violation in raised.value.violations] == fields


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("{}", "dataset.source"),
        ('{"builtin": {"name": "netflix"}}', "dataset.builtin.name"),
        ('{"builtin": {}}', "dataset.builtin.name"),
        ('{"file": {}}', "dataset.file.path"),
        ('{"file": {"path": "a.csv", "user_column": ""}}', "dataset.file.user_column"),
        ('{"file": {"path": "a.csv", "format": 9}}', "dataset.file.format"),
        ('{"upload": {}}', "dataset.upload.upload_id"),
        ('{"upload": {"upload_id": "u"}, "bad_rows": 9}', "dataset.bad_rows"),
        ('{"upload": {"upload_id": "u"}, "scale": {"minimum": 5, "maximum": 1}}', "dataset.scale"),
        (
            '{"upload": {"upload_id": "u"}, "implicit": true, "scale": {"minimum": 1, "maximum": 5}}',
            "dataset",
        ),
        (
            '{"upload": {"upload_id": "u"}, "scale": {"minimum": "NaN", "maximum": 1}}',
            "dataset.scale.minimum",
        ),
    ],
)
def test_a_wrong_data_set_names_the_field_of_the_proto(message: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        dataset_spec(json_format.Parse(message, spec_pb.Dataset()))
    assert raised.value.field == field
    assert raised.value.reason == "INVALID_FIELD"
