"""Bringing a database's tables to what this program knows. Imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(connection: sa.Connection) -> None:
    """Carry out the steps that are missing, in the connection's transaction."""
    command.upgrade(_config(connection), "head")


def known_revisions() -> frozenset[str]:
    """Every revision that this program can upgrade from."""
    return frozenset(step.revision for step in ScriptDirectory.from_config(_config(None)).walk_revisions())


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
