"""The service: a queue of builds, webhook deliveries, tokens, secrets, environment, an audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Builds learn to wait; the new tables."""
    if sa.inspect(op.get_bind()).has_table("schema_version"):
        op.drop_table("schema_version")
    with op.batch_alter_table("apps") as table:
        table.add_column(sa.Column("settings", sa.JSON, nullable=False, server_default="{}"))
    with op.batch_alter_table("builds", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("started_at", existing_type=sa.Float, nullable=True)
        for column in (
            sa.Column("created_at", sa.Float, nullable=False, server_default="0"),
            sa.Column("spec", sa.JSON),
            sa.Column("origin", sa.String(16), nullable=False, server_default="cli"),
            sa.Column("actor", sa.Text, nullable=False, server_default=""),
            sa.Column("branch", sa.Text, nullable=False, server_default=""),
            sa.Column("revision", sa.String(64), nullable=False, server_default=""),
            sa.Column("message", sa.Text, nullable=False, server_default=""),
            sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
            sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
            sa.Column("lease_until", sa.Float),
            sa.Column("cancel_at", sa.Float),
            sa.Column("superseded_by", sa.Integer),
            sa.Column("fingerprint", sa.String(80)),
            sa.Column("reused_from", sa.Integer),
            sa.Column("release", sa.Integer),
        ):
            table.add_column(column)
        table.create_index("ix_builds_status", ["status"])
        table.create_index("ix_builds_fingerprint", ["fingerprint"])
    op.execute("UPDATE builds SET created_at = started_at")
    with op.batch_alter_table("builds", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("created_at", existing_type=sa.Float, server_default=None)
    op.create_table(
        "event_archives",
        sa.Column("build_id", sa.Integer, sa.ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("app", sa.String(40), primary_key=True),
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("delivery", sa.String(128), primary_key=True),
        sa.Column("received_at", sa.Float, nullable=False, index=True),
        sa.Column("build_id", sa.Integer),
        sa.Column("reason", sa.String(40), nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("token", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(80), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False, index=True),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("app", sa.String(40)),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("last_used_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "secrets",
        sa.Column("app", sa.String(40), sa.ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("purpose", sa.String(16), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_table(
        "environment",
        sa.Column("app", sa.String(40), sa.ForeignKey("apps.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
