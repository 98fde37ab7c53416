"""Domains of apps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """The new table."""
    op.create_table(
        "domains",
        sa.Column("name", sa.String(253), primary_key=True),
        sa.Column("app", sa.String(40), sa.ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("created_at", sa.Float, nullable=False),
    )
