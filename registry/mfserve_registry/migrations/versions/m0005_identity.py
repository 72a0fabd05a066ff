"""What tells this registry from others, in a store that two databases may be pointed to by mistake."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    line = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
    op.create_table(
        "identity",
        sa.Column("registry_id", line, nullable=False),
        sa.PrimaryKeyConstraint("registry_id", name=op.f("pk_identity")),
    )
