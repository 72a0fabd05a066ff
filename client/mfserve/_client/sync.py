"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

from mfserve._client import columns, recommendation_service, training_service
from mfserve._client.arguments import text
from mfserve._client.bulk import BATCH_SIZE, Bulk
from mfserve._client.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from mfserve._client.columns import Columns
from mfserve._client.credentials import Credentials
from mfserve._client.peer import Peer
from mfserve._client.recommendation_service import History
from mfserve._client.sync_aliases import AliasMethods
from mfserve._client.sync_job import TrainingJob
from mfserve._client.sync_models import ModelMethods
from mfserve._client.sync_stream import RecommendationStream
from mfserve._client.sync_transport import Transport
from mfserve._client.training_service import DatasetArgument, Watch
from mfserve._client.user_ids import UserIds
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


class Client(ModelMethods, AliasMethods):
    """A connection to a server; share one between threads, and close it at the end.

    Every method takes ``timeout``: seconds until DeadlineExceededError, above 0. None takes the client's for calls with
    one answer and 10 minutes for uploads and downloads; ``math.inf`` sets no deadline. Where a method takes
    ``version`` and ``alias``, at most one may be given; with neither, the version that the alias ``production``
    names answers. Every method raises the exceptions of ``mfserve.errors``, and a TypeError or ValueError that names
    the argument, with its place (``exclude_item_ids[3]``), where it cannot be sent.

    Args:
        address: ``HOST:PORT``, ``[::1]:50051``, or another form of a gRPC target, such as ``unix:/run/mfserve.sock`` or
            ``dns:///HOST:PORT``.
        credentials: a token and certificates; None: those of the environment, see ``Credentials.from_environment``.
        timeout: the default for calls with one answer.
        actor: who moves aliases, for their history; None or empty: the user and the machine, as ``ann@host``.

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
        self._transport = Transport(Peer.of(address, credentials), timeout)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.peer.address

    def close(self) -> None:
        """Ends the connection and every call that still runs on it."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ready(self, *, timeout: float | None = None) -> bool:
        """Whether the server can be reached and says that it serves (gRPC health protocol)."""
        return self._transport.ready(timeout)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server serves, also where it has yet to start; DeadlineExceededError after ``timeout``."""
        self._transport.wait_ready(timeout)

    # Training

    def train(
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
    ) -> TrainingJob:
        """Queues a training and returns at once. Whatever is None takes the server's default.

        Args:
            model: name of the model, which need not exist yet.
            dataset: the name of a built-in data set (``"movielens-100k"``); a path that server and trainer can read
                (a text with a separator or an ending, or a ``Path``); an Upload; or columns, which are uploaded
                first: a DataFrame, an Arrow table, a mapping of column names to sequences.
            user_column: column of the user ids; default ``user_id``.
            item_column: column of the item ids; default ``item_id``.
            rating_column: column of the ratings; default ``rating``.
            timestamp_column: column of the times, in seconds since the epoch or as datetimes; default: none.
            title_column: column of the item titles; default: none.
            implicit: the rows say only that a user chose an item: there are no ratings, or they are not read.
            bad_rows: whether a bad row fails the job or is left out; default ``"fail"``.
            duplicates: what counts where a user rated an item more than once; default ``"last"``.
            scale: (lowest, highest) rating; default: the data set's own, or what is found.
            rating: engine of the rating head; default ``AutoRating()``.
            ranking: engine of the ranking head; default ``Ials()``.
            split: what is held out to measure the metrics on; default ``KeyedHash()``.
            refit: whether what is served is fitted again on all ratings; default True.
            seed: seed of the training; default 0.
            tuning: how the parameters of the engines are searched before the fits; default: they are not.
            index: an approximate index of the ranking head, for a very large catalogue; default: none.
            promote_to_alias: alias to move to the new version, if its gates let it through: ``JobInfo.promotion``
                tells. A model's first version always takes ``production``.
            gates: how bad the new version may be beside the one that the alias names; default ``PromotionGates()``.
            request_id: makes the call safe to repeat, also from another process: the same id with the same
                arguments gives the same job. Default: a new one.
            timeout: seconds, for the upload and for the call.

        Raises:
            InvalidArgumentError: naming the field.
            PermissionDeniedError: a file outside the server's data roots.
            AlreadyExistsError: ``request_id`` was used with other arguments.
        """
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
            upload = self._upload(dataset, names, request_id, timeout)
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
        return TrainingJob(self._transport, self._transport.unary(call, timeout))

    def upload_dataset(
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
        """Stores ratings for trainings; ``train(dataset=…)`` takes the result, or does both at once.

        Args:
            data: a DataFrame, an Arrow table, or a mapping of column names to sequences. Ids are texts or whole
                numbers. It is read in parts, and again from the start where the connection breaks.
            user_column: column of the user ids.
            item_column: column of the item ids.
            rating_column: column of the ratings; a missing one is a bad row of the training.
            timestamp_column: column of the times, in seconds since the epoch or as datetimes; None: there is none.
            title_column: column of the item titles; None: there is none.
            implicit: there are no ratings, or they are not sent.
            request_id: makes the call safe to repeat from another process. Default: a new one.
            timeout: seconds.

        Raises:
            ValueError: there is no such column.
            TypeError, ValueError: naming column and row of a value that cannot be sent.
            ResourceExhaustedError: over the server's size limit.
        """
        names = columns.ColumnNames(
            user_column, item_column, None if implicit else rating_column, timestamp_column, title_column
        )
        return self._upload(data, names, request_id or training_service.new_request_id(), timeout)

    def _upload(
        self, data: DatasetArgument, names: columns.ColumnNames, request_id: str, timeout: float | None
    ) -> Upload:
        held = columns.checked(data)
        return self._transport.upload(
            columns.header(request_id, names), lambda: columns.messages(held, names), timeout
        )

    def get_job(self, job_id: str, *, timeout: float | None = None) -> TrainingJob:
        """The handle of a job that was queued before, by whomever."""
        return TrainingJob(self._transport, self._transport.unary(training_service.get_job(job_id), timeout))

    def list_jobs(
        self,
        *,
        model: str | None = None,
        states: Iterable[JobState | str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[TrainingJob]:
        """Jobs, the newest first, page by page as they are read.

        Args:
            model: only jobs of this model.
            states: only jobs in these states; empty: in any.
            page_size: jobs per call, 1 to 1000; 0: the server's default.
            timeout: seconds for each call.
        """
        call = training_service.list_jobs(model, states, page_size)
        return (TrainingJob(self._transport, info) for info in self._transport.paged(call, timeout))

    def cancel_job(self, job_id: str, *, timeout: float | None = None) -> TrainingJob:
        """Asks to end a job: CANCELLED at once where it waited, else within seconds."""
        return TrainingJob(
            self._transport, self._transport.unary(training_service.cancel_job(job_id), timeout)
        )

    def watch_job(
        self, job_id: str, *, after_sequence: int = 0, timeout: float | None = None
    ) -> Iterator[JobUpdate]:
        """Yields the job as it is, then again on every change with the progress since, to its end.

        ``TrainingJob.watch`` yields the progress alone. Goes on by itself after a broken connection.
        """
        return self._transport.watch(Watch(job_id, after_sequence), timeout)

    # Recommendations

    def recommend(
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
        """The best items for one user.

        Args:
            model: name of the model.
            user_id: a user of the training data. An unknown one gets the most popular items, and ``basis`` says so.
            history: instead of ``user_id``, (item, rating) pairs of a user whom the model never saw; or items alone,
                where the model was trained on data without ratings.
            limit: number of items wanted, 1 to 1000; None: 10. Fewer come back only when fewer remain.
            exclude_item_ids: items that must not come back, besides those already rated.
            include_seen: whether items that the user has already rated may come back.
            exact: whether to search exactly also where the version has an approximate index; ``recall`` of the answer
                says what was searched.
            ranking_head: the head to rank by; None: the ranking head, or the rating head where there is no other.
            version: a version number.
            alias: an alias, or ``latest``.
            timeout: seconds.

        Raises:
            NotFoundError: unknown model, version or alias.
            InvalidArgumentError: naming the field.
        """
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
        return self._transport.unary(call, timeout)

    def stream_recommend(
        self,
        model: str,
        user_ids: Iterable[str],
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
    ) -> RecommendationStream:
        """The best items for many users, in their order, all from the version that answers the first of them.

        The users are read a few batches ahead, so that any number of them takes the same memory: an answer comes when
        the three batches after its own have been read too, or there are no more users. With a ``batch_size`` of 1 it
        still waits for three more users; ``recommend`` answers one at once. Goes on by itself after a broken
        connection, with that version and from the users not yet answered. The server is asked when the first row is
        read, also where there are no users.

        Args:
            model: name of the model.
            user_ids: the users; as in ``recommend``, unknown ones get the most popular items.
            limit: as in ``recommend``, and so are the further ones not named here.
            exclude_item_ids: items that must not come back for any user.
            include_seen: whether items that a user has already rated may come back.
            exact: as in ``recommend``.
            ranking_head: the head to rank by.
            predicted_ratings: False leaves them out, which saves time.
            batch_size: users per message, 1 to 4096; made smaller where users times limit would pass 200,000.
            version: a version number.
            alias: an alias, or ``latest``.
            timeout: seconds for the whole stream; None: none. It ends the waiting for the server, and does not
                interrupt an iterable of users that takes its time.

        Raises:
            TypeError, ValueError: naming the argument, while it is read also ``user_ids[3000]``, counted from 0.
            InvalidArgumentError: while it is read, likewise.
        """
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
        return RecommendationStream(bulk, self._transport.bulk(bulk, UserIds(user_ids), timeout))

    def predict_rating(
        self,
        model: str,
        user_id: str,
        item_id: str,
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> RatingPrediction:
        """The rating that a user would give to an item; ``basis`` says where a mean had to stand in."""
        call = recommendation_service.predict_rating(model, user_id, item_id, version, alias)
        return self._transport.unary(call, timeout)

    def batch_predict_ratings(
        self,
        model: str,
        pairs: Iterable[tuple[str, str]],
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> list[RatingPrediction]:
        """The rating for each (user, item) pair, in their order, all by one version; in calls of 10,000 pairs."""
        calls = recommendation_service.batch_predict_ratings(model, pairs, version, alias)
        return self._transport.all_of(calls, timeout)

    def similar_items(
        self,
        model: str,
        item_id: str,
        *,
        limit: int | None = None,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> SimilarItems:
        """The items whose embeddings point most nearly in the same direction; NotFoundError for an unknown item."""
        call = recommendation_service.similar_items(model, item_id, limit, version, alias)
        return self._transport.unary(call, timeout)
