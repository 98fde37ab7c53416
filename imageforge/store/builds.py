"""Builds, and the one ordered list of events that each of them is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import builds, events


class BuildStatus(StrEnum):
    """Where a build stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One run of the pipeline over one source."""

    id: int
    app: str
    source: str
    status: BuildStatus
    started_at: float
    finished_at: float | None
    reference: str | None
    image_id: str | None
    error: Mapping[str, Any] | None


class Builds:
    """The builds of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, *, app: str, source: str, owner: Mapping[str, Any] | None = None) -> int:
        """A new build's id; `owner` identifies the process that runs it."""
        with self._database.writing() as connection:
            values: dict[str, Any] = {
                "app": app,
                "source": source,
                "status": BuildStatus.RUNNING.value,
                "started_at": time.time(),
            }
            values["owner"] = owner
            result = connection.execute(builds.insert().values(values))
            assert result.inserted_primary_key is not None
            return int(result.inserted_primary_key[0])

    def finish(
        self,
        build_id: int,
        status: BuildStatus,
        *,
        reference: str | None = None,
        image_id: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Set a build's end."""
        values = {"status": status.value, "finished_at": time.time(), "reference": reference, "image_id": image_id}
        with self._database.writing() as connection:
            connection.execute(builds.update().where(builds.c.id == build_id).values(**values, error=error))

    def settle(self, alive: Callable[[Mapping[str, Any]], bool]) -> None:
        """Fail the builds that stand as running though their process has ended."""
        query = sa.select(builds.c.id, builds.c.owner).where(builds.c.status == BuildStatus.RUNNING.value)
        with self._database.reading() as connection:
            running = [(row[0], row[1]) for row in connection.execute(query)]
        for build_id, owner in running:
            if owner is None or not alive(owner):
                self.finish(build_id, BuildStatus.FAILED, error={"code": "killed", "message": "its process was killed"})

    def append(self, build_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store events; each row has the columns of the table but the build's id."""
        if rows:
            with self._database.writing() as connection:
                connection.execute(events.insert(), [{"build_id": build_id, **row} for row in rows])

    def events(self, build_id: int, *, after: int = 0) -> tuple[Mapping[str, Any], ...]:
        """The stored events with a number above `after`, in order."""
        query = (
            sa.select(events).where(events.c.build_id == build_id, events.c.number > after).order_by(events.c.number)
        )
        with self._database.reading() as connection:
            return tuple(dict(row) for row in connection.execute(query).mappings())

    def find(self, build_id: int) -> Build | None:
        """One build."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(builds).where(builds.c.id == build_id)).mappings().first()
        return _build(row) if row else None

    def latest(self, *, app: str | None = None, limit: int = 20) -> tuple[Build, ...]:
        """The newest builds first, of one app or of all."""
        query = sa.select(builds).order_by(builds.c.id.desc()).limit(limit)
        if app:
            query = query.where(builds.c.app == app)
        with self._database.reading() as connection:
            return tuple(_build(row) for row in connection.execute(query).mappings())

    def forget_beyond(self, keep: int) -> None:
        """Drop the oldest finished builds, with their events, so that `keep` are left."""
        kept = sa.select(builds.c.id).order_by(builds.c.id.desc()).limit(keep)
        with self._database.writing() as connection:
            connection.execute(
                builds.delete().where(builds.c.id.not_in(kept.subquery().select()), builds.c.status != "running")
            )


def _build(row: Mapping[Any, Any]) -> Build:
    values = {key: value for key, value in row.items() if key != "owner"}
    return Build(**{**values, "status": BuildStatus(row["status"])})
