"""The client's methods about models and their versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from mfserve._client import comparisons, model_service
from mfserve._client.sync_transport import Transport
from mfserve._types.comparisons import VersionComparison
from mfserve._types.enums import EmbeddingSide, Head
from mfserve._types.models import Embeddings, Model, ModelVersion, ServingStatus, StoredArtifact


class ModelMethods:
    """A part of Client."""

    _transport: Transport

    def list_models(self, *, page_size: int = 0, timeout: float | None = None) -> Iterator[Model]:
        """Models by name, page by page as they are read."""
        return self._transport.paged(model_service.list_models(page_size), timeout)

    def get_model(self, model: str, *, timeout: float | None = None) -> Model:
        """One model and its aliases."""
        return self._transport.unary(model_service.get_model(model), timeout)

    def list_versions(
        self, model: str, *, page_size: int = 0, timeout: float | None = None
    ) -> Iterator[ModelVersion]:
        """A model's versions, the newest first, page by page as they are read."""
        return self._transport.paged(model_service.list_versions(model, page_size), timeout)

    def get_version(
        self,
        model: str,
        version: int | None = None,
        *,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> ModelVersion:
        """One version: data, configuration, metrics, files."""
        return self._transport.unary(model_service.get_version(model, version, alias), timeout)

    def compare_versions(
        self,
        model: str,
        version: int,
        other_version: int,
        *,
        sample_size: int | None = None,
        timeout: float | None = None,
    ) -> VersionComparison:
        """How two versions differ: the metrics of both, what shadowing found, and what both recommend to some users.

        Args:
            model: name of the model.
            version: number of a version.
            other_version: number of another one, which is told in relation to ``version``.
            sample_size: number of users to recommend items to by both, 0 to 1000; None: 200.
            timeout: seconds. The server loads both versions first, and searches a large catalogue once for each user.

        Raises:
            InvalidArgumentError: both are the same version, or a sample size outside its range.
            NotFoundError: the model, or one of the versions, is not there.
            UnavailableError: a version cannot be loaded, or the registry does not answer.
        """
        call = comparisons.compare_versions(model, version, other_version, sample_size)
        return self._transport.unary(call, timeout)

    def get_artifact(
        self,
        model: str,
        name: str,
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> StoredArtifact:
        """A file that was stored with a version, such as a training curve."""
        return self._transport.download(model_service.get_artifact(model, name, version, alias), timeout)

    def get_embeddings(
        self,
        model: str,
        side: EmbeddingSide | Literal["user", "item"],
        *,
        head: Head | Literal["ranking", "rating"] | None = None,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> Embeddings:
        """All embeddings of users or of items; FailedPreconditionError where the version has no such head."""
        call = model_service.get_embeddings(model, side, head, version, alias)
        return self._transport.download(call, timeout)

    def delete_version(self, model: str, version: int, *, timeout: float | None = None) -> None:
        """Takes a version away for good; its number is never given out again.

        Raises:
            FailedPreconditionError: an alias names it, or a server process answers from it for an alias or holds
                streams on it; the error's ``metadata`` names them.
            NotFoundError: it is not there, or no more.
        """
        self._transport.unary(model_service.delete_version(model, version), timeout)

    def delete_model(self, model: str, *, timeout: float | None = None) -> None:
        """Takes a model away with all its versions; delete its aliases first.

        Its name may be trained again; the numbers of versions then go on.

        Raises:
            FailedPreconditionError: it has an alias or a job that has yet to end, or a server process holds streams on
                it; the error's ``metadata`` names them.
            NotFoundError: it is not there, or no more.
        """
        self._transport.unary(model_service.delete_model(model), timeout)

    def serving_status(self, *, timeout: float | None = None) -> ServingStatus:
        """Which versions each server process holds, and why one could not be loaded."""
        return self._transport.unary(model_service.serving_status(), timeout)
