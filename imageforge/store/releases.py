"""Releases: numbered and immutable. What a rollback goes back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imageforge.store.builds import BuildStatus
from imageforge.store.database import Database
from imageforge.store.schema import builds, releases


class ReleaseStatus(StrEnum):
    """What became of a release; all but this and the report never change."""

    PENDING = "pending"
    LIVE = "live"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Image by digest, the manifests that run it, and the run secrets that they name, sealed."""

    app: str
    number: int
    build_id: int | None
    reference: str
    image_id: str
    manifests: str
    status: ReleaseStatus
    created_at: float
    note: str = ""
    report: Mapping[str, Any] | None = None
    secrets: bytes | None = field(default=None, repr=False)


class Releases:
    """The releases of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_number(self, app: str) -> int:
        """The number that the next release of an app will have, if nobody else makes one meanwhile."""
        with self._database.reading() as connection:
            newest = sa.select(sa.func.max(releases.c.number)).where(releases.c.app == app)
            return int(connection.execute(newest).scalar() or 0) + 1

    def add(self, release: Release, *, made_by: int | None = None) -> None:
        """Store a new release; with it, in one transaction, that the build `made_by` has made it. The caller holds the
        app's lock, so its number is free."""
        values = {field: getattr(release, field) for field in releases.c.keys()}  # noqa: SIM118 - a column collection
        with self._database.writing() as connection:
            connection.execute(releases.insert().values(values | {"status": release.status.value}))
            if made_by is not None:
                connection.execute(builds.update().where(builds.c.id == made_by).values(release=release.number))

    def finish(self, app: str, number: int, status: ReleaseStatus, report: Mapping[str, Any] | None) -> None:
        """Set what became of a release; the one that was live before it is superseded."""
        with self._database.writing() as connection:
            if status is ReleaseStatus.LIVE:
                live = sa.and_(releases.c.app == app, releases.c.status == ReleaseStatus.LIVE.value)
                connection.execute(releases.update().where(live).values(status=ReleaseStatus.SUPERSEDED.value))
            mine = sa.and_(releases.c.app == app, releases.c.number == number)
            connection.execute(releases.update().where(mine).values(status=status.value, report=report))

    def note(self, app: str, number: int, report: Mapping[str, Any]) -> None:
        """Set the report of a release whose deploy is under way."""
        mine = sa.and_(releases.c.app == app, releases.c.number == number)
        with self._database.writing() as connection:
            connection.execute(releases.update().where(mine).values(report=report))

    def find(self, app: str, number: int) -> Release | None:
        """One release."""
        query = sa.select(releases).where(releases.c.app == app, releases.c.number == number)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return _release(row) if row else None

    def made_by(self, app: str, build_id: int) -> Release | None:
        """The release that a build made, not counting rollbacks to it."""
        query = sa.select(releases).where(
            releases.c.app == app, releases.c.build_id == build_id, releases.c.note.not_like("rollback to %")
        )
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(releases.c.number)).mappings().first()
        return _release(row) if row else None

    def live(self, app: str) -> Release | None:
        """The release that serves."""
        query = (
            sa.select(releases)
            .where(releases.c.app == app, releases.c.status == ReleaseStatus.LIVE.value)
            .order_by(releases.c.number.desc())
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return _release(row) if row else None

    def pending(self, app: str) -> tuple[Release, ...]:
        """Those whose deploy is under way, or was killed; newest first."""
        return self._with_status(app, ReleaseStatus.PENDING)

    def abandoned(self) -> tuple[Release, ...]:
        """Those that are pending although the build which a worker carried out for them has ended: it was killed or
        handed back in the rollout, and then cancelled, replaced by a newer one, or failed before it came so far
        again."""
        open_ = [status.value for status in BuildStatus if not status.ended]
        # The newest one of the number: an app that was deleted and made again counts its releases from 1 again.
        other = builds.alias()
        newest = sa.select(sa.func.max(other.c.id)).where(
            other.c.app == releases.c.app, other.c.release == releases.c.number
        )
        query = (
            sa.select(releases)
            .select_from(releases.join(builds, builds.c.id == newest.correlate(releases).scalar_subquery()))
            .where(
                releases.c.status == ReleaseStatus.PENDING.value,
                builds.c.status.not_in(open_),
                builds.c.spec.is_not(None),
            )
            .order_by(releases.c.app, releases.c.number)
        )
        with self._database.reading() as connection:
            return tuple(_release(row) for row in connection.execute(query).mappings())

    def superseded(self, app: str) -> tuple[Release, ...]:
        """Those that once were live; newest first."""
        return self._with_status(app, ReleaseStatus.SUPERSEDED)

    def _with_status(self, app: str, status: ReleaseStatus) -> tuple[Release, ...]:
        query = (
            sa.select(releases)
            .where(releases.c.app == app, releases.c.status == status.value)
            .order_by(releases.c.number.desc())
        )
        with self._database.reading() as connection:
            return tuple(_release(row) for row in connection.execute(query).mappings())

    def of(self, app: str, *, limit: int = 50) -> tuple[Release, ...]:
        """An app's releases, newest first."""
        query = sa.select(releases).where(releases.c.app == app).order_by(releases.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return tuple(_release(row) for row in connection.execute(query).mappings())

    def references(self, *, newest: int | None = None) -> tuple[str, ...]:
        """The images of all releases that serve, served or are to serve, of every app; as if all but the `newest` were
        forgotten, where that is a number."""
        query = sa.select(releases.c.reference).distinct().order_by(releases.c.reference)
        with self._database.reading() as connection:
            return tuple(connection.execute(query.where(*_wanted(connection, newest))).scalars())

    def images(self, *, newest: int | None = None) -> frozenset[str]:
        """The same images, by their IDs in the engine."""
        query = sa.select(releases.c.image_id).distinct()
        with self._database.reading() as connection:
            return frozenset(connection.execute(query.where(*_wanted(connection, newest))).scalars())

    def kept(self, app: str) -> tuple[Release, ...]:
        """All of an app's releases, newest first."""
        query = sa.select(releases).where(releases.c.app == app).order_by(releases.c.number.desc())
        with self._database.reading() as connection:
            return tuple(_release(row) for row in connection.execute(query).mappings())

    def forget_beyond(self, app: str, keep: int) -> None:
        """Drop an app's oldest releases: all but the newest `keep` of those that served, and failures older than these.
        What a rollback could go back to is never pushed out by failures."""
        with self._database.writing() as connection:
            connection.execute(releases.delete().where(_beyond(connection, app, keep)))


def _wanted(connection: sa.Connection, newest: int | None) -> list[sa.ColumnElement[bool]]:
    """What is true of a release whose image is wanted."""
    wanted = [releases.c.status != ReleaseStatus.FAILED.value]
    if newest is not None:
        apps = connection.execute(sa.select(releases.c.app).distinct()).scalars().all()
        wanted += [sa.not_(_beyond(connection, app, newest)) for app in apps]
    return wanted


def _beyond(connection: sa.Connection, app: str, keep: int) -> sa.ColumnElement[bool]:
    """What is true of an app's releases that are older than the newest `keep` of those that served."""
    served = (ReleaseStatus.LIVE.value, ReleaseStatus.SUPERSEDED.value)
    kept = (
        sa.select(releases.c.number)
        .where(releases.c.app == app, releases.c.status.in_(served))
        .order_by(releases.c.number.desc())
        .limit(keep)
    )
    numbers = connection.execute(kept).scalars().all()
    if len(numbers) < keep:
        return sa.false()
    return sa.and_(
        releases.c.app == app, releases.c.number < min(numbers), releases.c.status != ReleaseStatus.LIVE.value
    )


def _release(row: Mapping[Any, Any]) -> Release:
    return Release(**{**row, "status": ReleaseStatus(row["status"])})
