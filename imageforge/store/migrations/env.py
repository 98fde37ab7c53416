"""Alembic's entry: it runs on the connection that `imageforge.store.database` holds open."""

from __future__ import annotations

from alembic import context

from imageforge.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    transactional_ddl=False,  # the caller's transaction holds all steps
)
context.run_migrations()
