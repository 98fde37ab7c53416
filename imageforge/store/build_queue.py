"""The queue of record: builds that wait, who works on which, and which newer push replaces which older one.

A build is accepted when its row is written; what wakes the workers is a hint beside it. All decisions are made inside
of one writing transaction, so two workers never claim the same build.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from imageforge.store.builds import Build, BuildStatus, build_from
from imageforge.store.database import Database
from imageforge.store.schema import builds, deliveries

LEASE_SECONDS = 30.0
"""How long a worker that nobody can look at, on another machine, is believed after its last sign of life."""
MOST_ATTEMPTS = 3
"""Starts of one build: a build that kills its worker each time must end."""

Alive = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryKey:
    """What identifies a webhook's delivery."""

    provider: str
    delivery: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A build to accept. `spec` is JSON: the source and the options. `supersedes`: it is its branch's newest, and older
    ones of it need not be built any more."""

    app: str
    source: str
    spec: Mapping[str, Any]
    origin: str
    actor: str = ""
    branch: str = ""
    revision: str = ""
    message: str = ""
    priority: int = 0
    delivery: DeliveryKey | None = None
    supersedes: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A build that is stored; `duplicate` when its delivery had been accepted before, by that very build."""

    build_id: int
    superseded: tuple[int, ...] = field(default=())
    duplicate: bool = False


class BuildQueue:
    """The waiting and the running builds of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, submission: Submission, *, cancel_running: bool = False) -> Accepted:
        """Store a build. Those of the same app and branch that still wait are superseded by it; with `cancel_running`
        the one that runs is asked to end, too."""
        now = time.time()
        with self._database.writing() as connection:
            if submission.delivery is not None:
                seen = connection.execute(_delivery(submission.app, submission.delivery)).first()
                if seen is not None and seen[0] is not None:
                    return Accepted(build_id=seen[0], duplicate=True)
            values = {
                "app": submission.app,
                "source": submission.source,
                "spec": dict(submission.spec),
                "origin": submission.origin,
                "actor": submission.actor,
                "branch": submission.branch,
                "revision": submission.revision,
                "message": submission.message,
                "priority": submission.priority,
                "status": BuildStatus.QUEUED.value,
                "created_at": now,
            }
            key = connection.execute(builds.insert().values(values)).inserted_primary_key
            assert key is not None
            build_id = int(key[0])
            superseded = (
                _supersede(connection, submission, build_id, now) if submission.branch and submission.supersedes else ()
            )
            if cancel_running and submission.branch and submission.supersedes:
                running = sa.and_(_same_branch(submission), builds.c.status == BuildStatus.RUNNING.value)
                connection.execute(
                    builds.update()
                    .where(running, builds.c.cancel_at.is_(None))
                    .values(cancel_at=now, superseded_by=build_id)
                )
            if submission.delivery is not None:
                _remember(connection, submission.app, submission.delivery, build_id, "push", now)
        return Accepted(build_id=build_id, superseded=superseded)

    def claim(self, owner: Mapping[str, Any], *, most_running: int, now: float | None = None) -> Build | None:
        """The build to work on next, now running and owned by the caller; None where nothing may start.

        Highest priority first; then the app whose last build started longest ago, so that a busy app does not starve
        the others; then first come, first served. One build of an app at a time.
        """
        moment = time.time() if now is None else now
        with self._database.writing() as connection:
            running = (
                connection.execute(
                    sa.select(builds.c.app).where(
                        builds.c.status == BuildStatus.RUNNING.value, builds.c.spec.is_not(None)
                    )
                )
                .scalars()
                .all()
            )
            if len(running) >= most_running:
                return None
            past = builds.alias()
            last = sa.select(sa.func.max(past.c.started_at)).where(past.c.app == builds.c.app).scalar_subquery()
            query = (
                sa.select(builds)
                .where(builds.c.status == BuildStatus.QUEUED.value, builds.c.app.not_in(running))
                .order_by(builds.c.priority.desc(), sa.func.coalesce(last, 0), builds.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)  # PostgreSQL's way to what SQLite's write lock does
            )
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            changes = {
                "status": BuildStatus.RUNNING.value,
                "owner": dict(owner),
                "attempt": row["attempt"] + 1,
                "started_at": row["started_at"] or moment,
                "lease_until": moment + LEASE_SECONDS,
            }
            connection.execute(builds.update().where(builds.c.id == row["id"]).values(**changes))
            return build_from({**row, **changes})

    def give_back(self, build_id: int, attempt: int) -> None:
        """Let a claimed build wait again, as if it had not been claimed."""
        mine = sa.and_(
            builds.c.id == build_id, builds.c.attempt == attempt, builds.c.status == BuildStatus.RUNNING.value
        )
        with self._database.writing() as connection:
            connection.execute(
                builds.update()
                .where(mine)
                .values(status=BuildStatus.QUEUED.value, owner=None, lease_until=None, attempt=attempt - 1)
            )

    def renew(self, build_id: int, attempt: int) -> Build | None:
        """Tell that the build is being worked on, and learn how it stands; None when it was taken away."""
        mine = sa.and_(
            builds.c.id == build_id, builds.c.attempt == attempt, builds.c.status == BuildStatus.RUNNING.value
        )
        with self._database.writing() as connection:
            connection.execute(builds.update().where(mine).values(lease_until=time.time() + LEASE_SECONDS))
            row = connection.execute(sa.select(builds).where(mine)).mappings().first()
        return build_from(row) if row else None

    def recover(self, alive: Alive) -> tuple[int, ...]:
        """Let builds wait again whose worker was killed, and fail those that were started too often; gives the ids of
        both."""
        query = sa.select(builds).where(builds.c.status == BuildStatus.RUNNING.value, builds.c.spec.is_not(None))
        found = []
        with self._database.writing() as connection:
            for row in connection.execute(query).mappings().all():
                if row["owner"] is not None and alive(row["owner"]):
                    continue
                found.append(row["id"])
                connection.execute(builds.update().where(builds.c.id == row["id"]).values(**_after_death(row)))
        return tuple(found)

    def waiting(self) -> tuple[int, ...]:
        """The ids of those that wait, oldest first."""
        query = sa.select(builds.c.id).where(builds.c.status == BuildStatus.QUEUED.value).order_by(builds.c.id)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def running(self) -> int:
        """How many builds run, those of the command line among them."""
        query = sa.select(sa.func.count()).where(builds.c.status == BuildStatus.RUNNING.value)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def cancel(self, build_id: int) -> BuildStatus | None:
        """Cancel one that waits, ask one that runs to end; gives how it stands now, None for an unknown id."""
        now = time.time()
        with self._database.writing() as connection:
            found = connection.execute(sa.select(builds.c.status).where(builds.c.id == build_id)).scalar()
            if found is None:
                return None
            status = BuildStatus(found)
            mine = builds.update().where(builds.c.id == build_id)
            if status is BuildStatus.QUEUED:
                connection.execute(mine.values(status=BuildStatus.CANCELLED.value, cancel_at=now, finished_at=now))
                return BuildStatus.CANCELLED
            if status is BuildStatus.RUNNING:
                connection.execute(mine.values(cancel_at=now))
            return status

    def delivered(self, app: str, key: DeliveryKey) -> tuple[bool, int | None]:
        """Whether a delivery has been answered before, and by which build."""
        with self._database.reading() as connection:
            row = connection.execute(_delivery(app, key)).first()
        return (False, None) if row is None else (True, row[0])

    def remember_delivery(self, app: str, key: DeliveryKey, reason: str) -> None:
        """Keep the id of a delivery that made no build."""
        with self._database.writing() as connection:
            if connection.execute(_delivery(app, key)).first() is None:
                _remember(connection, app, key, None, reason, time.time())

    def forget_deliveries(self, before: float) -> None:
        """Drop ids of deliveries that were received earlier."""
        with self._database.writing() as connection:
            connection.execute(deliveries.delete().where(deliveries.c.received_at < before))


def _same_branch(submission: Submission) -> sa.ColumnElement[bool]:
    return sa.and_(builds.c.app == submission.app, builds.c.branch == submission.branch, builds.c.spec.is_not(None))


def _supersede(connection: sa.Connection, submission: Submission, build_id: int, now: float) -> tuple[int, ...]:
    older = sa.and_(_same_branch(submission), builds.c.status == BuildStatus.QUEUED.value, builds.c.id < build_id)
    found = tuple(connection.execute(sa.select(builds.c.id).where(older)).scalars())
    connection.execute(
        builds.update()
        .where(older)
        .values(status=BuildStatus.SUPERSEDED.value, superseded_by=build_id, finished_at=now)
    )
    return found


def _after_death(row: Mapping[Any, Any]) -> dict[str, Any]:
    if row["cancel_at"] is not None:
        return {"status": BuildStatus.CANCELLED.value, "finished_at": time.time(), "owner": None}
    if row["attempt"] >= MOST_ATTEMPTS:
        message = f"its worker was killed {row['attempt']} times"
        error = {
            "code": "killed",
            "subject": f"build {row['id']}",
            "message": message,
            "hint": "the machine's log may tell why (memory?); then `imageforge builds retry`",
        }
        return {"status": BuildStatus.FAILED.value, "finished_at": time.time(), "owner": None, "error": error}
    return {"status": BuildStatus.QUEUED.value, "owner": None, "lease_until": None}


def _delivery(app: str, key: DeliveryKey) -> sa.Select[Any]:
    return sa.select(deliveries.c.build_id).where(
        deliveries.c.app == app, deliveries.c.provider == key.provider, deliveries.c.delivery == key.delivery
    )


def _remember(
    connection: sa.Connection, app: str, key: DeliveryKey, build_id: int | None, reason: str, now: float
) -> None:
    connection.execute(
        deliveries.insert().values(
            app=app, provider=key.provider, delivery=key.delivery, received_at=now, build_id=build_id, reason=reason
        )
    )
