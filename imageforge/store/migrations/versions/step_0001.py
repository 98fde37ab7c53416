"""The tables of 0.1: apps, builds, their events, releases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, unless a home of before the migrations has them."""
    if sa.inspect(op.get_bind()).has_table("builds"):
        return
    op.create_table(
        "apps",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("replicas", sa.Integer),
    )
    op.create_table(
        "builds",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("app", sa.String(40), nullable=False, index=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.Float),
        sa.Column("reference", sa.Text),
        sa.Column("image_id", sa.Text),
        sa.Column("error", sa.JSON),
        sa.Column("owner", sa.JSON),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "events",
        sa.Column("build_id", sa.Integer, sa.ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("app", sa.String(40), sa.ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("build_id", sa.Integer),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("image_id", sa.Text, nullable=False),
        sa.Column("manifests", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("report", sa.JSON),
    )
    op.create_index("releases_by_time", "releases", ["app", "created_at"])
