"""The audit log: who did what, when. Added to, read, and cut by age; never changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import audit


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One thing that somebody did."""

    id: int
    at: float
    actor: str
    action: str
    object: str
    detail: Mapping[str, Any]


class Audit:
    """The audit log of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """Note an action that was carried out. `detail` never holds a secret's value."""
        with self._database.writing() as connection:
            connection.execute(
                audit.insert().values(at=time.time(), actor=actor, action=action, object=subject, detail=detail)
            )

    def latest(self, *, before: int | None = None, limit: int = 100) -> tuple[AuditEntry, ...]:
        """The newest entries first."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.reading() as connection:
            return tuple(AuditEntry(**row) for row in connection.execute(query).mappings())

    def forget(self, before: float) -> None:
        """Drop entries of earlier than that."""
        with self._database.writing() as connection:
            connection.execute(audit.delete().where(audit.c.at < before))
