"""What is to be told to others of builds, and to whom: hooks, and an outbox of notices."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imageforge.store.builds import Build, build_from
from imageforge.store.database import Database
from imageforge.store.schema import builds, hooks, notices


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """An address that is told of an app's builds; `events` empty: of all. `gone_at`: since when it wants no more."""

    id: str
    app: str
    url: str
    events: tuple[str, ...]
    created_at: float
    gone_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A notice to be stored. `replaces`: older ones to this target that are still waiting say nothing that counts."""

    target: str
    event: str
    payload: Mapping[str, Any]
    replaces: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One thing to tell one target. `next_at` None: it was told at `done_at`, or given up with `error`."""

    id: int
    build_id: int
    app: str
    target: str
    event: str
    payload: Mapping[str, Any]
    created_at: float
    attempts: int
    next_at: float | None
    done_at: float | None
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A notice that is due, by its number, and for whom it is."""

    id: int
    app: str
    target: str


class Hooks:
    """The hooks of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, app: str, url: str, events: Sequence[str]) -> Hook:
        """A new hook."""
        made = Hook(id=secrets.token_hex(6), app=app, url=url, events=tuple(events), created_at=time.time())
        with self._database.writing() as connection:
            connection.execute(
                hooks.insert().values(id=made.id, app=app, url=url, events=list(events), created_at=made.created_at)
            )
        return made

    def of(self, app: str) -> tuple[Hook, ...]:
        """An app's hooks, oldest first."""
        query = sa.select(hooks).where(hooks.c.app == app).order_by(hooks.c.created_at, hooks.c.id)
        with self._database.reading() as connection:
            return tuple(_hook(row) for row in connection.execute(query).mappings())

    def find(self, app: str, hook: str) -> Hook | None:
        """One hook of an app."""
        return next((found for found in self.of(app) if found.id == hook), None)

    def remove(self, app: str, hook: str) -> bool:
        """Forget a hook, and what it is still to be told; False where there is none."""
        with self._database.writing() as connection:
            connection.execute(notices.delete().where(notices.c.app == app, notices.c.target == target_of(hook)))
            return connection.execute(hooks.delete().where(hooks.c.app == app, hooks.c.id == hook)).rowcount > 0

    def set_gone(self, app: str, hook: str) -> None:
        """Tell it nothing any more."""
        with self._database.writing() as connection:
            connection.execute(hooks.update().where(hooks.c.app == app, hooks.c.id == hook).values(gone_at=time.time()))


class Notices:
    """The outbox of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def untold(self, *, limit: int = 100) -> tuple[Build, ...]:
        """Builds whose status has changed since others were told of it, oldest first."""
        changed = sa.or_(builds.c.told.is_(None), builds.c.told != builds.c.status)
        query = sa.select(builds).where(changed).order_by(builds.c.id).limit(limit)
        with self._database.reading() as connection:
            return tuple(build_from(row) for row in connection.execute(query).mappings())

    def tell(self, told: Iterable[tuple[Build, Sequence[Draft]]]) -> None:
        """Store what is to be told of builds as they stand, all in one transaction; nothing of one that stands
        differently by now, or of which the same was stored before."""
        now = time.time()
        of_nobody: dict[str, list[int]] = {}
        with self._database.writing() as connection:
            for build, drafts in told:
                if not drafts:
                    of_nobody.setdefault(build.status.value, []).append(build.id)
                elif _settle(connection, build.status.value, [build.id]):
                    for draft in drafts:
                        _add(connection, build, draft, now)
            for status, ids in of_nobody.items():
                _settle(connection, status, ids)

    def waiting(self) -> tuple[Waiting, ...]:
        """Of each target the oldest notice whose time has come, oldest first."""
        oldest = sa.func.min(notices.c.id)
        query = (
            sa.select(oldest, notices.c.app, notices.c.target)
            .where(notices.c.next_at <= time.time())
            .group_by(notices.c.app, notices.c.target)
            .order_by(oldest)
        )
        with self._database.reading() as connection:
            return tuple(Waiting(id=row[0], app=row[1], target=row[2]) for row in connection.execute(query))

    def take(self, chosen: Iterable[int], *, lease: float) -> tuple[Notice, ...]:
        """Those of the chosen whose time has come and that nobody else was faster to take, oldest first. For `lease`
        seconds, until their `next_at`, nobody else gets them."""
        now = time.time()
        wanted = sa.and_(notices.c.id.in_(list(chosen)), notices.c.next_at <= now)
        query = sa.select(notices).where(wanted).order_by(notices.c.id)
        with self._database.writing() as connection:
            rows = connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
            mine = notices.c.id.in_([row["id"] for row in rows])
            connection.execute(notices.update().where(mine).values(next_at=now + lease))
        return tuple(Notice(**{**row, "next_at": now + lease}) for row in rows)

    def give_back(self, notice: Notice) -> None:
        """An attempt was broken off: it is due again at once, and does not count."""
        with self._database.writing() as connection:
            connection.execute(notices.update().where(_held(notice)).values(next_at=time.time()))

    def rest(self, app: str, target: str, until: float) -> None:
        """Tell a target nothing before `until` of what is due for it now."""
        mine = sa.and_(notices.c.app == app, notices.c.target == target, notices.c.next_at <= time.time())
        with self._database.writing() as connection:
            connection.execute(notices.update().where(mine).values(next_at=until))

    def settle(self, notice: Notice, *, error: str | None, next_at: float | None) -> None:
        """Keep how an attempt went: told (no error), to be tried again at `next_at`, or given up. What came in between
        counts more: something newer was to be told, or the same once more."""
        values = {"error": error, "next_at": next_at, "done_at": None if error is not None else time.time()}
        counted = {"attempts": notices.c.attempts + 1}
        with self._database.writing() as connection:
            connection.execute(notices.update().where(notices.c.id == notice.id).values(**counted))
            connection.execute(notices.update().where(_held(notice)).values(**values))

    def of(self, app: str, target: str, *, limit: int = 50) -> tuple[Notice, ...]:
        """What a target was or is to be told, newest first."""
        mine = sa.and_(notices.c.app == app, notices.c.target == target)
        query = sa.select(notices).where(mine).order_by(notices.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return tuple(Notice(**row) for row in connection.execute(query).mappings())


def target_of(hook: str) -> str:
    """The name of a hook among the targets."""
    return f"hook-{hook}"


def _settle(connection: sa.Connection, status: str, ids: Sequence[int]) -> int:
    """Note that others know of this status; how many of the builds still had it."""
    as_seen = sa.and_(builds.c.id.in_(ids), builds.c.status == status)
    return connection.execute(builds.update().where(as_seen).values(told=status)).rowcount


def _held(notice: Notice) -> sa.ColumnElement[bool]:
    """Whether it is still as it was taken."""
    return sa.and_(notices.c.id == notice.id, notices.c.next_at == notice.next_at)


def _add(connection: sa.Connection, build: Build, draft: Draft, now: float) -> None:
    mine = sa.and_(notices.c.build_id == build.id, notices.c.target == draft.target)
    if draft.replaces:
        connection.execute(
            notices.update()
            .where(mine, notices.c.next_at.is_not(None))
            .values(next_at=None, error="something newer was to be told")
        )
    values = {
        "build_id": build.id,
        "app": build.app,
        "target": draft.target,
        "event": draft.event,
        "payload": dict(draft.payload),
        "created_at": now,
        "next_at": now,
    }
    known = connection.execute(sa.select(notices.c.id).where(mine, notices.c.event == draft.event)).scalar()
    if known is None:
        connection.execute(notices.insert().values(**values))
    elif draft.replaces:
        # The same again after something else: a build that waits, runs, and after a crash waits once more.
        again = {**values, "attempts": 0, "done_at": None, "error": None}
        connection.execute(notices.update().where(notices.c.id == known).values(**again))


def _hook(row: Mapping[Any, Any]) -> Hook:
    return Hook(**{**row, "events": tuple(row["events"])})
