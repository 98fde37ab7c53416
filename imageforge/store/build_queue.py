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

LEASE_SECONDS = 60.0
"""How long a worker is believed after its last sign of life. One that lives and gives none is stuck or stopped."""
PUSHES = ("git", "webhook", "catch-up", "upload")
"""The origins of builds that are of the newest state of a branch."""
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
    ones of it need not be built any more. `held_by`: the process that will tell whether it is to be carried out."""

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
    held_by: Mapping[str, Any] | None = None


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

        def store(connection: sa.Connection) -> Accepted:
            return _submit(connection, submission, now, cancel_running=cancel_running)

        # Pushes come in bursts, and each is answered once it is on the disk.
        return self._database.together(store)

    def release(self, build_id: int, *, cancel_running: bool = False) -> Accepted | None:
        """Let a held build wait for a worker, as if it were submitted now; None where it was not held any more."""
        now = time.time()
        with self._database.writing() as connection:
            query = sa.select(builds).where(builds.c.id == build_id, builds.c.status == BuildStatus.HELD.value)
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            branch = (row["app"], row["branch"])
            superseded = _supersede(connection, branch, build_id, now, cancel_running=cancel_running)
            connection.execute(builds.update().where(builds.c.id == build_id).values(**_waiting(connection, row)))
        return Accepted(build_id=build_id, superseded=superseded)

    def refuse(self, build_id: int, error: Mapping[str, Any]) -> None:
        """End a held build that is not to be carried out."""
        mine = sa.and_(builds.c.id == build_id, builds.c.status == BuildStatus.HELD.value)
        values = {"status": BuildStatus.CANCELLED.value, "owner": None, "finished_at": time.time(), "error": error}
        with self._database.writing() as connection:
            connection.execute(builds.update().where(mine).values(**values))

    def held(self, alive: Alive) -> tuple[Build, ...]:
        """The held builds whose holder has ended and told nothing, oldest first."""
        query = sa.select(builds).where(builds.c.status == BuildStatus.HELD.value).order_by(builds.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(build_from(row) for row in rows if row["owner"] is None or not alive(row["owner"]))

    def leases(self) -> Mapping[int, tuple[float, Mapping[str, Any]]]:
        """Of each build that a worker carries out: the end of its lease, and the worker."""
        query = sa.select(builds.c.id, builds.c.lease_until, builds.c.owner).where(
            builds.c.status == BuildStatus.RUNNING.value, builds.c.spec.is_not(None)
        )
        with self._database.reading() as connection:
            return {row[0]: (row[1] or 0.0, row[2] or {}) for row in connection.execute(query)}

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
            row = connection.execute(sa.select(builds).where(mine)).mappings().first()
            if row is not None:
                values = _waiting(connection, row) | {"attempt": attempt - 1}
                connection.execute(builds.update().where(mine).values(**values))

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
                connection.execute(
                    builds.update().where(builds.c.id == row["id"]).values(**_after_death(connection, row))
                )
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
            if status in (BuildStatus.HELD, BuildStatus.QUEUED):
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

        def store(connection: sa.Connection) -> None:
            if connection.execute(_delivery(app, key)).first() is None:
                _remember(connection, app, key, None, reason, time.time())

        self._database.together(store)

    def forget_deliveries(self, before: float) -> None:
        """Drop ids of deliveries that were received earlier."""
        with self._database.writing() as connection:
            connection.execute(deliveries.delete().where(deliveries.c.received_at < before))


def _same_branch(app: str, branch: str) -> sa.ColumnElement[bool]:
    return sa.and_(builds.c.app == app, builds.c.branch == branch, builds.c.spec.is_not(None))


def _submit(connection: sa.Connection, submission: Submission, now: float, *, cancel_running: bool) -> Accepted:
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
        "status": (BuildStatus.QUEUED if submission.held_by is None else BuildStatus.HELD).value,
        "owner": None if submission.held_by is None else dict(submission.held_by),
        "created_at": now,
    }
    key = connection.execute(builds.insert().values(values)).inserted_primary_key
    assert key is not None
    build_id = int(key[0])
    superseded: tuple[int, ...] = ()
    if submission.supersedes and submission.held_by is None:
        branch = (submission.app, submission.branch)
        superseded = _supersede(connection, branch, build_id, now, cancel_running=cancel_running)
    if submission.delivery is not None:
        _remember(connection, submission.app, submission.delivery, build_id, "push", now)
    return Accepted(build_id=build_id, superseded=superseded)


def _supersede(
    connection: sa.Connection, branch: tuple[str, str], build_id: int, now: float, *, cancel_running: bool
) -> tuple[int, ...]:
    """What a build of an app and a branch replaces; nothing where it is of no branch."""
    if not branch[1]:
        return ()
    if cancel_running:
        running = sa.and_(_same_branch(*branch), builds.c.status == BuildStatus.RUNNING.value, builds.c.id < build_id)
        connection.execute(
            builds.update().where(running, builds.c.cancel_at.is_(None)).values(cancel_at=now, superseded_by=build_id)
        )
    older = sa.and_(_same_branch(*branch), builds.c.status == BuildStatus.QUEUED.value, builds.c.id < build_id)
    found = tuple(connection.execute(sa.select(builds.c.id).where(older)).scalars())
    connection.execute(
        builds.update()
        .where(older)
        .values(status=BuildStatus.SUPERSEDED.value, superseded_by=build_id, finished_at=now)
    )
    return found


def _waiting(connection: sa.Connection, row: Mapping[Any, Any]) -> dict[str, Any]:
    """A build that is to wait (again) as it then stands: superseded, where a newer push of its branch waits already."""
    newer = None
    if row["branch"] and row["origin"] in PUSHES:
        query = sa.select(sa.func.max(builds.c.id)).where(
            _same_branch(row["app"], row["branch"]),
            builds.c.status == BuildStatus.QUEUED.value,
            builds.c.origin.in_(PUSHES),
            builds.c.id > row["id"],
        )
        newer = connection.execute(query).scalar()
    if newer is None:
        return {"status": BuildStatus.QUEUED.value, "owner": None, "lease_until": None}
    return {
        "status": BuildStatus.SUPERSEDED.value,
        "superseded_by": newer,
        "finished_at": time.time(),
        "owner": None,
        "lease_until": None,
    }


def _after_death(connection: sa.Connection, row: Mapping[Any, Any]) -> dict[str, Any]:
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
    return _waiting(connection, row)


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
