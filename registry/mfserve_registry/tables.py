"""The tables of the registry. Migrations make them; a test holds the two equal.

Names of models and aliases are the keys themselves: they never change. Rows of models, versions and aliases are
never removed, only marked, so that a version number or a revision is never given out twice.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
)

from mfserve_registry.columns import FloatMap, Line, RowNumber, UtcTime, Whole

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NAME = Line(63)
_DIGEST = Line(64)
_ID = Line(64)

models = Table(
    "models",
    metadata,
    Column("name", _NAME, primary_key=True),
    # The highest number ever given; kept when the model is deleted, so that no number comes twice.
    Column("last_version", Whole, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # When its files were removed because no version needs them; none: they are there.
    Column("collected_at", UtcTime),
)

jobs = Table(
    "jobs",
    metadata,
    # Order of submission: the queue's order.
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("job_id", _ID, nullable=False, unique=True),
    Column("model", _NAME, nullable=False),
    Column("request_id", Line(128), nullable=False, unique=True),
    Column("request_hash", _DIGEST, nullable=False),
    Column("request", JSON, nullable=False),
    Column("state", Line(16), nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    # Number of the latest attempt, 0 before the first. Only its claim may write.
    Column("attempt", Whole, nullable=False),
    # How often a worker may still start it.
    Column("attempts_left", Whole, nullable=False),
    Column("version", Whole),
    # What became of the alias to move: {"alias", "promoted", "reason"}.
    Column("promotion", JSON(none_as_null=True)),
    # The trace in which it was asked for: {"traceparent", "tracestate"}.
    Column("trace", JSON(none_as_null=True)),
    Column("error_reason", Line(64)),
    Column("error_message", Line()),
    # Counts the changes of this row, from 1.
    Column("revision", Whole, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
    Index(None, "state", "number"),
    Index(None, "model", "number"),
)

job_attempts = Table(
    "job_attempts",
    metadata,
    Column("job_id", _ID, ForeignKey("jobs.job_id"), primary_key=True),
    Column("attempt", Whole, primary_key=True),
    Column("worker", Line(255), nullable=False),
    Column("claimed_at", UtcTime, nullable=False),
    Column("lease_expires_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("outcome", Line(16)),
    Column("error_reason", Line(64)),
    Column("error_message", Line()),
)

job_progress = Table(
    "job_progress",
    metadata,
    Column("job_id", _ID, ForeignKey("jobs.job_id"), primary_key=True),
    # 1, 2, 3, … over all attempts of the job.
    Column("sequence", Whole, primary_key=True),
    Column("attempt", Whole, nullable=False),
    Column("stage", Line(64), nullable=False),
    Column("epoch", Whole, nullable=False),
    Column("epochs", Whole, nullable=False),
    Column("metrics", FloatMap, nullable=False),
    Column("remaining_seconds", Float),
    Column("at", UtcTime, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("model", _NAME, ForeignKey("models.name"), primary_key=True),
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("digest", _DIGEST, ForeignKey("snapshots.digest"), nullable=False, index=True),
    # None for a version that did not come from a job here (an import).
    Column("job_id", _ID, ForeignKey("jobs.job_id")),
    Column("attempt", Whole),
    Column("metrics", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    # What the promotion gates found, and beside which version; none where they did not run.
    Column("gates", JSON(none_as_null=True)),
    Column("created_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("model", _NAME, primary_key=True),
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("name", Line(128), primary_key=True),
    Column("media_type", Line(128), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", _DIGEST, nullable=False, index=True),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", _NAME, ForeignKey("models.name"), primary_key=True),
    Column("alias", _NAME, primary_key=True),
    # [[version, weight], …]; weights are whole numbers above 0.
    Column("targets", JSON, nullable=False),
    # A version that is scored beside the targets without answering: {"version", "share"}.
    Column("shadow", JSON(none_as_null=True)),
    # 1, 2, 3, … and on after a deletion: an old expected_revision can never match a later life.
    Column("revision", Whole, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
)

alias_events = Table(
    "alias_events",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("model", _NAME, nullable=False),
    Column("alias", _NAME, nullable=False),
    Column("revision", Whole, nullable=False),
    # An AliasAction: how it came to change.
    Column("action", Line(16), nullable=False),
    Column("from_targets", JSON, nullable=False),
    Column("from_shadow", JSON(none_as_null=True)),
    Column("to_targets", JSON, nullable=False),
    Column("to_shadow", JSON(none_as_null=True)),
    Column("actor", Line(255), nullable=False),
    Column("reason", Line(), nullable=False),
    Column("at", UtcTime, nullable=False),
    # Of a rollback, the revision whose state it brought back.
    Column("restored_revision", Whole),
    ForeignKeyConstraint(["model", "alias"], ["aliases.model", "aliases.alias"]),
    UniqueConstraint("model", "alias", "revision"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", _ID, primary_key=True),
    Column("request_id", Line(128), nullable=False, unique=True),
    # SHA-256 over the columns' values, however they were cut into batches.
    Column("content_hash", _DIGEST, nullable=False),
    Column("sha256", _DIGEST, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

servers = Table(
    "servers",
    metadata,
    Column("server_id", _ID, primary_key=True),
    Column("host", Line(255), nullable=False),
    Column("pid", Whole, nullable=False),
    Column("worker", Whole, nullable=False),
    Column("address", Line(255), nullable=False),
    Column("release", Line(64), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("heartbeat_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
)

serving_leases = Table(
    "serving_leases",
    metadata,
    Column("server_id", _ID, ForeignKey("servers.server_id", ondelete="CASCADE"), primary_key=True),
    Column("model", _NAME, primary_key=True),
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("digest", _DIGEST, nullable=False, index=True),
    Column("state", Line(16), nullable=False),
    Column("reason", Line(64), nullable=False),
    Column("message", Line(), nullable=False),
    Column("aliases", JSON, nullable=False),
    # Streams under way that only this version may answer. A server of an earlier release tells none.
    Column("streams", Whole, nullable=False, server_default="0"),
    Index(None, "model", "version"),
)

# One row, made when it is asked for: what tells this registry from others.
identity = Table("identity", metadata, Column("registry_id", _ID, primary_key=True))

shadow_sums = Table(
    "shadow_sums",
    metadata,
    Column("model", _NAME, primary_key=True),
    # The version that answered callers.
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("shadow_version", Whole, primary_key=True, autoincrement=False),
    # Of a process that may be gone: what it has found stays. "": all those whose rows were made one.
    Column("server_id", _ID, primary_key=True),
    # {what: [count, sum, sum of squares], …}
    Column("answers", JSON, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)
