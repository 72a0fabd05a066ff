"""What a rollback brought back, and how many streams a server holds on a version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("alias_events", sa.Column("restored_revision", sa.Integer(), nullable=True))
    op.add_column("serving_leases", sa.Column("streams", sa.Integer(), server_default="0", nullable=False))
