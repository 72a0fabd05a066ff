"""What became of the alias that a job was to move."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("promotion", sa.JSON(none_as_null=True), nullable=True))
