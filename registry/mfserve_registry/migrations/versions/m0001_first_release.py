"""All tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Spelled out, and not taken from the package: a migration must stay what it was.
_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def _line(length: int | None = None) -> sa.types.TypeEngine[str]:
    if length is None:
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("job_id", _line(64), nullable=False),
        sa.Column("model", _line(63), nullable=False),
        sa.Column("request_id", _line(128), nullable=False),
        sa.Column("request_hash", _line(64), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", _line(16), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts_left", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("error_reason", _line(64), nullable=True),
        sa.Column("error_message", _line(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_jobs_job_id")),
        sa.UniqueConstraint("request_id", name=op.f("uq_jobs_request_id")),
    )
    op.create_index(op.f("ix_jobs_model_number"), "jobs", ["model", "number"], unique=False)
    op.create_index(op.f("ix_jobs_state_number"), "jobs", ["state", "number"], unique=False)
    op.create_table(
        "models",
        sa.Column("name", _line(63), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )
    op.create_table(
        "servers",
        sa.Column("server_id", _line(64), nullable=False),
        sa.Column("host", _line(255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Integer(), nullable=False),
        sa.Column("address", _line(255), nullable=False),
        sa.Column("release", _line(64), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("heartbeat_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_servers")),
    )
    op.create_index(op.f("ix_servers_expires_at"), "servers", ["expires_at"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("digest", _line(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("collected_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "uploads",
        sa.Column("upload_id", _line(64), nullable=False),
        sa.Column("request_id", _line(128), nullable=False),
        sa.Column("content_hash", _line(64), nullable=False),
        sa.Column("sha256", _line(64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("request_id", name=op.f("uq_uploads_request_id")),
    )
    op.create_table(
        "aliases",
        sa.Column("model", _line(63), nullable=False),
        sa.Column("alias", _line(63), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("shadow", sa.JSON(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_aliases_model")),
        sa.PrimaryKeyConstraint("model", "alias", name=op.f("pk_aliases")),
    )
    op.create_table(
        "job_attempts",
        sa.Column("job_id", _line(64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", _line(255), nullable=False),
        sa.Column("claimed_at", _TIME, nullable=False),
        sa.Column("lease_expires_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("outcome", _line(16), nullable=True),
        sa.Column("error_reason", _line(64), nullable=True),
        sa.Column("error_message", _line(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_job_attempts_job_id")),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_job_attempts")),
    )
    op.create_table(
        "job_progress",
        sa.Column("job_id", _line(64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("stage", _line(64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("remaining_seconds", sa.Float(), nullable=True),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_job_progress_job_id")),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_job_progress")),
    )
    op.create_table(
        "serving_leases",
        sa.Column("server_id", _line(64), nullable=False),
        sa.Column("model", _line(63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", _line(64), nullable=False),
        sa.Column("state", _line(16), nullable=False),
        sa.Column("reason", _line(64), nullable=False),
        sa.Column("message", _line(), nullable=False),
        sa.Column("aliases", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.server_id"], name=op.f("fk_serving_leases_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("server_id", "model", "version", name=op.f("pk_serving_leases")),
    )
    op.create_index(op.f("ix_serving_leases_digest"), "serving_leases", ["digest"], unique=False)
    op.create_index(
        op.f("ix_serving_leases_model_version"), "serving_leases", ["model", "version"], unique=False
    )
    op.create_table(
        "versions",
        sa.Column("model", _line(63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", _line(64), nullable=False),
        sa.Column("job_id", _line(64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("gates", sa.JSON(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["digest"], ["snapshots.digest"], name=op.f("fk_versions_digest")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_versions_job_id")),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_versions_model")),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_versions")),
    )
    op.create_index(op.f("ix_versions_digest"), "versions", ["digest"], unique=False)
    op.create_table(
        "alias_events",
        sa.Column("number", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("model", _line(63), nullable=False),
        sa.Column("alias", _line(63), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("action", _line(16), nullable=False),
        sa.Column("from_targets", sa.JSON(), nullable=False),
        sa.Column("from_shadow", sa.JSON(), nullable=True),
        sa.Column("to_targets", sa.JSON(), nullable=False),
        sa.Column("to_shadow", sa.JSON(), nullable=True),
        sa.Column("actor", _line(255), nullable=False),
        sa.Column("reason", _line(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "alias"], ["aliases.model", "aliases.alias"], name=op.f("fk_alias_events_model_alias")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alias_events")),
        sa.UniqueConstraint("model", "alias", "revision", name=op.f("uq_alias_events_model_alias_revision")),
    )
    op.create_table(
        "artifacts",
        sa.Column("model", _line(63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", _line(128), nullable=False),
        sa.Column("media_type", _line(128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _line(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["versions.model", "versions.version"],
            name=op.f("fk_artifacts_model_version"),
        ),
        sa.PrimaryKeyConstraint("model", "version", "name", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_sha256"), "artifacts", ["sha256"], unique=False)
