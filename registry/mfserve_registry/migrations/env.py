"""Run by Alembic: applies the migrations on the connection that it was handed."""

from __future__ import annotations

from alembic import context

from mfserve_registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # All or nothing on SQLite too, whose driver we keep from committing by itself: a process killed in the middle
    # leaves the tables as they were.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
