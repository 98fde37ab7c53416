"""Secrets for containers: where a container has them, and those of each release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Two columns, empty for what is there."""
    with op.batch_alter_table("secrets") as table:
        table.add_column(sa.Column("path", sa.Text))
    with op.batch_alter_table("releases") as table:
        table.add_column(sa.Column("secrets", sa.LargeBinary))
