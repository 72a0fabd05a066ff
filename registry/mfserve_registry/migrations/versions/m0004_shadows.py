"""What server processes have found by asking shadows beside the versions that answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _line(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "shadow_sums",
        sa.Column("model", _line(63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shadow_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("server_id", _line(64), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "model", "version", "shadow_version", "server_id", name=op.f("pk_shadow_sums")
        ),
    )
