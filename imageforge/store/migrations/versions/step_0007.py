"""A push finds the builds of its branch that wait, and a claim the last start of an app, without reading others. The
store says which older programs may use it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What is asked of every push, under the write lock; and `compatibility`."""
    made = op.create_table("compatibility", sa.Column("oldest", sa.String(32), primary_key=True))
    # Programs of before this step do not look there, and refuse a store of a later one.
    op.bulk_insert(made, [{"oldest": "0007"}])
    op.create_index("builds_of_branch", "builds", ["app", "branch", "status"])
    op.create_index("builds_by_start", "builds", ["app", "started_at"])
