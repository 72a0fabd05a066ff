"""Files that hang on versions."""

from __future__ import annotations

import hashlib

import pytest

from mfserve_registry import Artifact, Registry
from mfserve_registry.errors import DamagedSnapshot, NotFound
from tests.places import Place
from tests.registry.helpers import publish

CURVE = Artifact("curve.svg", "image/svg+xml", b"<svg/>")
SUMMARY = Artifact("summary.txt", "text/plain", b"")


def test_listing_and_reading(registry: Registry) -> None:
    publish(registry, artifacts=[SUMMARY, CURVE])
    assert [file.name for file in registry.artifacts.list("movies", 1)] == ["curve.svg", "summary.txt"]
    for file in (CURVE, SUMMARY):
        info, data = registry.artifacts.read("movies", 1, file.name)
        assert data == file.data
        assert (info.media_type, info.size_bytes) == (file.media_type, len(file.data))
        assert info.sha256 == hashlib.sha256(file.data).hexdigest()


def test_the_same_bytes_are_kept_once(place: Place, registry: Registry) -> None:
    publish(registry, "a", artifacts=[CURVE])
    publish(registry, "b", artifacts=[CURVE, Artifact("copy.svg", "image/svg+xml", CURVE.data)])
    assert len(place.stored("artifacts")) == 1


@pytest.mark.parametrize(
    ("model", "version", "name", "reason"),
    [
        ("books", 1, "curve.svg", "MODEL_NOT_FOUND"),
        ("movies", 2, "curve.svg", "VERSION_NOT_FOUND"),
        ("movies", 1, "../registry.db", "ARTIFACT_NOT_FOUND"),
    ],
)
def test_what_is_not_there(registry: Registry, model: str, version: int, name: str, reason: str) -> None:
    publish(registry, artifacts=[CURVE])
    with pytest.raises(NotFound) as caught:
        registry.artifacts.read(model, version, name)
    assert caught.value.reason == reason


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_damage_is_noticed_and_mended_by_the_next_publication(
    place: Place, registry: Registry, damage: str
) -> None:
    publish(registry, "a", artifacts=[CURVE])
    [name] = place.stored("artifacts")
    place.damage(f"artifacts/{name}", None if damage == "gone" else b"<svg>")
    with pytest.raises(DamagedSnapshot) as caught:
        registry.artifacts.read("movies", 1, "curve.svg")
    assert caught.value.reason == "ARTIFACT_DAMAGED"
    publish(registry, "b", artifacts=[CURVE])
    assert registry.artifacts.read("movies", 1, "curve.svg")[1] == CURVE.data
