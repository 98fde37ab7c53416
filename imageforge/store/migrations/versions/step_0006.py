"""Apps learn of their processes beside web."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """What is scaled, and which names are taken."""
    with op.batch_alter_table("apps") as table:
        table.add_column(sa.Column("scales", sa.JSON, nullable=False, server_default="{}"))
        table.add_column(sa.Column("processes", sa.JSON, nullable=False, server_default="[]"))
