"""Telling others: outgoing webhooks, and what is still to be told of which build."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The new tables; of the builds that are there, everything has been told."""
    with op.batch_alter_table("builds", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("told", sa.String(16)))
    op.execute("UPDATE builds SET told = status")
    op.create_table(
        "hooks",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("app", sa.String(40), sa.ForeignKey("apps.name", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("gone_at", sa.Float),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("build_id", sa.Integer, sa.ForeignKey("builds.id", ondelete="CASCADE"), nullable=False),
        sa.Column("app", sa.String(40), nullable=False),
        sa.Column("target", sa.String(40), nullable=False),
        sa.Column("event", sa.String(24), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", sa.Float, index=True),
        sa.Column("done_at", sa.Float),
        sa.Column("error", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("notices_once", "notices", ["build_id", "target", "event"], unique=True)
