"""The client for event loops."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Literal, Self

from mfserve._client import columns, recommendation_service, training_service
from mfserve._client.aio_aliases import AsyncAliasMethods
from mfserve._client.aio_job import AsyncTrainingJob
from mfserve._client.aio_models import AsyncModelMethods
from mfserve._client.aio_stream import AsyncRecommendationStream
from mfserve._client.aio_transport import AsyncTransport
from mfserve._client.arguments import text
from mfserve._client.bulk import BATCH_SIZE, Bulk
from mfserve._client.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from mfserve._client.columns import Columns
from mfserve._client.credentials import Credentials
from mfserve._client.job import documented_as
from mfserve._client.peer import Peer
from mfserve._client.recommendation_service import History
from mfserve._client.sync import Client
from mfserve._client.training_service import DatasetArgument, Watch
from mfserve._client.user_ids import AsyncUserIds
from mfserve._types.enums import Head, JobState
from mfserve._types.recommendations import RatingPrediction, Recommendations, SimilarItems
from mfserve._types.spec import (
    Als,
    AutoRating,
    Bayes,
    Dataset,
    Ials,
    Index,
    Keras,
    KeyedHash,
    NoRanking,
    NoRating,
    NoSplit,
    PromotionGates,
    RandomSplit,
    RatingScale,
    TrainingSpec,
    Tuning,
    UploadedDataset,
)
from mfserve._types.training import JobUpdate, Upload


class AsyncClient(AsyncModelMethods, AsyncAliasMethods):
    """A connection to a server from an event loop; the methods are those of Client, awaited.

    ``train``, ``recommend`` and their like are awaited; ``list_models``, ``watch_job`` and ``stream_recommend`` are
    asynchronous iterators.

    Args:
        address: as of Client.
        credentials: as of Client.
        timeout: the default for calls with one answer.
        actor: who moves aliases, for their history; None: the user and the machine, as ``ann@host``.

    Raises:
        TypeError, ValueError: ``address``, ``credentials``, ``timeout`` or ``actor`` is none, or a token would go to
            another machine in plain text.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        credentials: Credentials | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        actor: str | None = None,
    ) -> None:
        self._actor = None if actor is None else text("actor", actor)
        self._transport = AsyncTransport(Peer.of(address, credentials), timeout)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.peer.address

    @documented_as(Client.close)
    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @documented_as(Client.ready)
    async def ready(self, *, timeout: float | None = None) -> bool:
        return await self._transport.ready(timeout)

    @documented_as(Client.wait_ready)
    async def wait_ready(self, timeout: float = 60.0) -> None:
        await self._transport.wait_ready(timeout)

    # Training

    @documented_as(Client.train)
    async def train(
        self,
        model: str,
        *,
        dataset: DatasetArgument,
        user_column: str | None = None,
        item_column: str | None = None,
        rating_column: str | None = None,
        timestamp_column: str | None = None,
        title_column: str | None = None,
        implicit: bool = False,
        bad_rows: Literal["fail", "skip"] | None = None,
        duplicates: Literal["fail", "first", "last", "mean"] | None = None,
        scale: RatingScale | tuple[float, float] | None = None,
        rating: AutoRating | Bayes | Als | Keras | NoRating | None = None,
        ranking: Ials | NoRanking | None = None,
        split: KeyedHash | RandomSplit | NoSplit | None = None,
        refit: bool | None = None,
        seed: int | None = None,
        tuning: Tuning | None = None,
        index: Index | None = None,
        promote_to_alias: str | None = None,
        gates: PromotionGates | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AsyncTrainingJob:
        request_id = request_id or training_service.new_request_id()
        given = {
            "user_column": user_column,
            "item_column": item_column,
            "rating_column": rating_column,
            "timestamp_column": timestamp_column,
            "title_column": title_column,
        }
        source = training_service.source(dataset, given)
        if source is None:
            names = training_service.column_names(given, implicit=implicit)
            upload = await self._upload(dataset, names, request_id, timeout)
            source = UploadedDataset(upload.upload_id)
        call = training_service.train(
            model,
            Dataset(source, bad_rows, duplicates, training_service.scale(scale), implicit),
            TrainingSpec(
                rating=rating,
                ranking=ranking,
                split=split,
                refit=refit,
                seed=seed,
                tuning=tuning,
                index=index,
            ),
            promote_to_alias,
            gates,
            request_id,
        )
        return AsyncTrainingJob(self._transport, await self._transport.unary(call, timeout))

    @documented_as(Client.upload_dataset)
    async def upload_dataset(
        self,
        data: Columns,
        *,
        user_column: str = "user_id",
        item_column: str = "item_id",
        rating_column: str = "rating",
        timestamp_column: str | None = None,
        title_column: str | None = None,
        implicit: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Upload:
        names = columns.ColumnNames(
            user_column, item_column, None if implicit else rating_column, timestamp_column, title_column
        )
        return await self._upload(data, names, request_id or training_service.new_request_id(), timeout)

    async def _upload(
        self, data: DatasetArgument, names: columns.ColumnNames, request_id: str, timeout: float | None
    ) -> Upload:
        held = columns.checked(data)
        return await self._transport.upload(
            columns.header(request_id, names), lambda: columns.messages(held, names), timeout
        )

    @documented_as(Client.get_job)
    async def get_job(self, job_id: str, *, timeout: float | None = None) -> AsyncTrainingJob:
        return AsyncTrainingJob(
            self._transport, await self._transport.unary(training_service.get_job(job_id), timeout)
        )

    @documented_as(Client.list_jobs)
    def list_jobs(
        self,
        *,
        model: str | None = None,
        states: Iterable[JobState | str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[AsyncTrainingJob]:
        call = training_service.list_jobs(model, states, page_size)
        entries = self._transport.paged(call, timeout)
        return (AsyncTrainingJob(self._transport, info) async for info in entries)

    @documented_as(Client.cancel_job)
    async def cancel_job(self, job_id: str, *, timeout: float | None = None) -> AsyncTrainingJob:
        return AsyncTrainingJob(
            self._transport, await self._transport.unary(training_service.cancel_job(job_id), timeout)
        )

    @documented_as(Client.watch_job)
    def watch_job(
        self, job_id: str, *, after_sequence: int = 0, timeout: float | None = None
    ) -> AsyncIterator[JobUpdate]:
        return self._transport.watch(Watch(job_id, after_sequence), timeout)

    # Recommendations

    @documented_as(Client.recommend)
    async def recommend(
        self,
        model: str,
        user_id: str | None = None,
        *,
        history: History | None = None,
        limit: int | None = None,
        exclude_item_ids: Iterable[str] = (),
        include_seen: bool = False,
        exact: bool = False,
        ranking_head: Head | Literal["ranking", "rating"] | None = None,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> Recommendations:
        call = recommendation_service.recommend(
            model,
            user_id,
            history,
            limit,
            exclude_item_ids,
            include_seen,
            exact,
            ranking_head,
            version,
            alias,
        )
        return await self._transport.unary(call, timeout)

    @documented_as(Client.stream_recommend)
    def stream_recommend(
        self,
        model: str,
        user_ids: Iterable[str] | AsyncIterable[str],
        *,
        limit: int | None = None,
        exclude_item_ids: Iterable[str] = (),
        include_seen: bool = False,
        exact: bool = False,
        ranking_head: Head | Literal["ranking", "rating"] | None = None,
        predicted_ratings: bool = True,
        batch_size: int = BATCH_SIZE,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> AsyncRecommendationStream:
        config = recommendation_service.stream_config(
            model,
            limit,
            exclude_item_ids,
            include_seen,
            exact,
            ranking_head,
            predicted_ratings,
            version,
            alias,
        )
        bulk = Bulk(config, batch_size)
        return AsyncRecommendationStream(bulk, self._transport.bulk(bulk, AsyncUserIds(user_ids), timeout))

    @documented_as(Client.predict_rating)
    async def predict_rating(
        self,
        model: str,
        user_id: str,
        item_id: str,
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> RatingPrediction:
        call = recommendation_service.predict_rating(model, user_id, item_id, version, alias)
        return await self._transport.unary(call, timeout)

    @documented_as(Client.batch_predict_ratings)
    async def batch_predict_ratings(
        self,
        model: str,
        pairs: Iterable[tuple[str, str]],
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> list[RatingPrediction]:
        calls = recommendation_service.batch_predict_ratings(model, pairs, version, alias)
        return await self._transport.all_of(calls, timeout)

    @documented_as(Client.similar_items)
    async def similar_items(
        self,
        model: str,
        item_id: str,
        *,
        limit: int | None = None,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> SimilarItems:
        call = recommendation_service.similar_items(model, item_id, limit, version, alias)
        return await self._transport.unary(call, timeout)
