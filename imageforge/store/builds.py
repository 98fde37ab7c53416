"""Builds, and the one ordered list of events that each of them is."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import builds, event_archives, events


class BuildStatus(StrEnum):
    """Where a build stands."""

    HELD = "held"
    """Stored, and not yet to be carried out: the push that it is of has not moved its branch."""
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (BuildStatus.HELD, BuildStatus.QUEUED, BuildStatus.RUNNING)


OPEN = tuple(status.value for status in BuildStatus if not status.ended)


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One run of the pipeline over one source.

    `spec` is what the queue carries out, None for a build of the command line; `attempt` counts its starts; `release`
    is the number of the release that it made; `reused_from` the build whose image it took over unchanged.
    """

    id: int
    app: str
    source: str
    status: BuildStatus
    created_at: float
    started_at: float | None
    finished_at: float | None
    reference: str | None
    image_id: str | None
    error: Mapping[str, Any] | None
    spec: Mapping[str, Any] | None
    origin: str
    actor: str
    branch: str
    revision: str
    message: str
    priority: int
    attempt: int
    cancel_at: float | None
    superseded_by: int | None
    fingerprint: str | None
    reused_from: int | None
    release: int | None


class Builds:
    """The builds of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, *, app: str, source: str, owner: Mapping[str, Any] | None = None) -> int:
        """A new build's id, running from the first; `owner` identifies the process that runs it."""
        now = time.time()
        with self._database.writing() as connection:
            values: dict[str, Any] = {
                "app": app,
                "source": source,
                "status": BuildStatus.RUNNING.value,
                "created_at": now,
                "started_at": now,
                "attempt": 1,
            }
            values["owner"] = owner
            result = connection.execute(builds.insert().values(values))
            assert result.inserted_primary_key is not None
            return int(result.inserted_primary_key[0])

    def update(self, build_id: int, **values: Any) -> None:
        """Set columns of a build."""
        if not values:
            return
        with self._database.writing() as connection:
            connection.execute(builds.update().where(builds.c.id == build_id).values(**values))

    def finish(
        self,
        build_id: int,
        status: BuildStatus,
        *,
        reference: str | None = None,
        image_id: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Set a build's end, and compress its events. What a failed deploy's build had pushed stays known."""
        values: dict[str, Any] = {"status": status.value, "finished_at": time.time(), "error": error}
        if reference is not None:
            values |= {"reference": reference, "image_id": image_id}
        with self._database.writing() as connection:
            # What has ended stays as it ended, whoever comes late.
            open_one = sa.and_(builds.c.id == build_id, builds.c.status.in_(OPEN))
            connection.execute(builds.update().where(open_one).values(**values))
            _archive(connection, build_id)

    def settle(self, alive: Callable[[Mapping[str, Any]], bool]) -> None:
        """Fail the builds of the command line that stand as running though their process has ended."""
        running = sa.and_(builds.c.status == BuildStatus.RUNNING.value, builds.c.spec.is_(None))
        with self._database.reading() as connection:
            found = [
                (row[0], row[1]) for row in connection.execute(sa.select(builds.c.id, builds.c.owner).where(running))
            ]
        for build_id, owner in found:
            if owner is None or not alive(owner):
                self.finish(build_id, BuildStatus.FAILED, error={"code": "killed", "message": "its process was killed"})

    def append(self, build_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store events; each row has the columns of the table but the build's id."""
        if rows:
            with self._database.writing() as connection:
                connection.execute(events.insert(), [{"build_id": build_id, **row} for row in rows])

    def note(self, build_id: int, text: str) -> bool:
        """Tell the readers of a build that waits why it does; False where that was the last thing they were told."""
        with self._database.writing() as connection:
            waits = sa.select(builds.c.id).where(builds.c.id == build_id, builds.c.status == BuildStatus.QUEUED.value)
            if connection.execute(waits).first() is None:
                return False
            query = sa.select(events).where(events.c.build_id == build_id).order_by(events.c.number.desc()).limit(1)
            last = connection.execute(query).mappings().first()
            if last is not None and last["text"] == text:
                return False
            row = {"number": last["number"] + 1 if last else 1, "at": time.time(), "stage": "", "kind": "note"}
            connection.execute(events.insert().values(build_id=build_id, **row, text=text, data={}))
        return True

    def events(self, build_id: int, *, after: int = 0) -> tuple[Mapping[str, Any], ...]:
        """The stored events with a number above `after`, in order."""
        query = (
            sa.select(events).where(events.c.build_id == build_id, events.c.number > after).order_by(events.c.number)
        )
        with self._database.reading() as connection:
            live = tuple(dict(row) for row in connection.execute(query).mappings())
            archived = _archived(connection, build_id)
        return (*(row for row in archived if row["number"] > after), *live)

    def last_event(self, build_id: int) -> int:
        """The number of the newest stored event; 0 where there is none."""
        stored = self.events(build_id)
        return int(stored[-1]["number"]) if stored else 0

    def find(self, build_id: int) -> Build | None:
        """One build."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(builds).where(builds.c.id == build_id)).mappings().first()
        return build_from(row) if row else None

    def latest(
        self,
        *,
        app: str | None = None,
        status: BuildStatus | None = None,
        branch: str | None = None,
        revision: str | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> tuple[Build, ...]:
        """The newest builds first, of those that match all that is given; `before` is the id to go on from."""
        query = sa.select(builds).order_by(builds.c.id.desc()).limit(limit)
        wanted = {"app": app, "status": status.value if status else None, "branch": branch, "revision": revision}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(builds.c[name] == value)
        if before is not None:
            query = query.where(builds.c.id < before)
        with self._database.reading() as connection:
            return tuple(build_from(row) for row in connection.execute(query).mappings())

    def succeeded_with(self, fingerprint: str) -> Build | None:
        """The newest build whose image was pushed and that was made of exactly this."""
        query = (
            sa.select(builds)
            .where(builds.c.fingerprint == fingerprint, builds.c.reference.is_not(None))
            .order_by(builds.c.id.desc())
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return build_from(row) if row else None

    def references(self, *, young: float) -> tuple[str, ...]:
        """The images of builds that are under way, and of those that have begun at `young` (Unix time) or later."""
        recent = sa.or_(builds.c.status.in_(OPEN), builds.c.created_at >= young)
        query = sa.select(builds.c.reference).where(recent, builds.c.reference.is_not(None)).distinct()
        with self._database.reading() as connection:
            return tuple(reference for reference in connection.execute(query).scalars() if "@" in reference)

    def images(self, *, young: float) -> frozenset[str]:
        """The same images, by their IDs in the engine."""
        recent = sa.or_(builds.c.status.in_(OPEN), builds.c.created_at >= young)
        query = sa.select(builds.c.image_id).where(recent, builds.c.image_id.is_not(None)).distinct()
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def open_archives(self) -> frozenset[str]:
        """The digests of the archives that waiting and running builds are made of."""
        query = sa.select(builds.c.spec).where(builds.c.status.in_(OPEN), builds.c.spec.is_not(None))
        with self._database.reading() as connection:
            specs = list(connection.execute(query).scalars())
        return frozenset(spec["source"]["digest"] for spec in specs if "digest" in spec.get("source", {}))

    def covers(self, app: str, revision: str, *, besides: int = 0) -> bool:
        """Whether a build of an app, `besides` apart, has that revision, is going to, or found that it is not to be
        built: one that was superseded or cancelled has not."""
        dropped = (BuildStatus.SUPERSEDED.value, BuildStatus.CANCELLED.value)
        query = sa.select(builds.c.status, builds.c.error).where(
            builds.c.app == app, builds.c.revision == revision, builds.c.id != besides
        )
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        return any(row[0] not in dropped or (row[1] or {}).get("code") == "build-skipped" for row in found)

    def counts(self) -> Mapping[str, int]:
        """How many builds have each status."""
        query = sa.select(builds.c.status, sa.func.count()).group_by(builds.c.status)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def forget_beyond(self, keep: int, *, log_bytes: int | None = None) -> None:
        """Drop the oldest ended builds, with their events, so that `keep` are left; and the oldest logs, so that the
        compressed ones together take at most `log_bytes`."""
        kept = sa.select(builds.c.id).order_by(builds.c.id.desc()).limit(keep)
        with self._database.writing() as connection:
            connection.execute(
                builds.delete().where(builds.c.id.not_in(kept.subquery().select()), builds.c.status.not_in(OPEN))
            )
            if log_bytes is None:
                return
            total, dropped = 0, []
            sizes = sa.select(event_archives.c.build_id, event_archives.c.size).order_by(
                event_archives.c.build_id.desc()
            )
            for build_id, size in connection.execute(sizes):
                total += size
                if total > log_bytes:
                    dropped.append(build_id)
            connection.execute(event_archives.delete().where(event_archives.c.build_id.in_(dropped)))


def _archive(connection: sa.Connection, build_id: int) -> None:
    """Move a build's events into one compressed value; what was archived before stays in front."""
    query = sa.select(events).where(events.c.build_id == build_id).order_by(events.c.number)
    rows = [
        {key: value for key, value in row.items() if key != "build_id"} for row in connection.execute(query).mappings()
    ]
    if not rows:
        return
    rows = [*({k: v for k, v in row.items() if k != "build_id"} for row in _archived(connection, build_id)), *rows]
    data = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)
    connection.execute(event_archives.delete().where(event_archives.c.build_id == build_id))
    connection.execute(event_archives.insert().values(build_id=build_id, data=data, size=len(data)))
    connection.execute(events.delete().where(events.c.build_id == build_id))


def _archived(connection: sa.Connection, build_id: int) -> list[dict[str, Any]]:
    data = connection.execute(sa.select(event_archives.c.data).where(event_archives.c.build_id == build_id)).scalar()
    if data is None:
        return []
    return [{"build_id": build_id, **row} for row in json.loads(zlib.decompress(data))]


_FIELDS = tuple(field.name for field in fields(Build))


def build_from(row: Mapping[Any, Any]) -> Build:
    """A row of the table as a value."""
    values = {name: row[name] for name in _FIELDS}
    return Build(**{**values, "status": BuildStatus(row["status"])})
