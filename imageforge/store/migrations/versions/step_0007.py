"""A push finds the builds of its branch that wait, and a claim the last start of an app, without reading the others."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What is asked of every push, under the write lock."""
    op.create_index("builds_of_branch", "builds", ["app", "branch", "status"])
    op.create_index("builds_by_start", "builds", ["app", "started_at"])
