"""Apps: a name, and what was set for it by hand."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from imageforge.errors import UsageError
from imageforge.store.database import Database
from imageforge.store.schema import apps


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSettings:
    """What `apps set` sets.

    `branch` is the only one whose pushes deploy; `git_url` where its source is fetched from; `watch` are patterns of
    which a push must touch one (none: every push builds); `on_newer` says whether a newer push lets the running build
    ``finish`` or has it ``cancel``led; `priority` puts its builds before others'.
    """

    branch: str = "main"
    git_url: str | None = None
    watch: tuple[str, ...] = ()
    on_newer: str = "finish"
    priority: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class App:
    """One app; `replicas` is what `scale` asked for, None where nobody did, and `scales` the same of the processes
    beside web. `processes` are the names of these that are taken by it."""

    name: str
    created_at: float
    replicas: int | None
    scales: Mapping[str, int] = field(default_factory=dict)
    processes: tuple[str, ...] = ()
    settings: AppSettings = field(default_factory=AppSettings)


class Apps:
    """The apps of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, name: str) -> App:
        """The app, made if need be. Raises UsageError (`app-name-taken`) where a process of another app runs under this
        name."""
        found = self.find(name)
        if found is None:
            with self._database.writing() as connection:
                exists = connection.execute(sa.select(apps.c.name).where(apps.c.name == name)).first()
                if exists is None:
                    _refuse_taken(connection, name)
                    connection.execute(
                        apps.insert().values(name=name, created_at=time.time(), replicas=None, settings={})
                    )
            found = self.find(name)
        assert found is not None
        return found

    def find(self, name: str) -> App | None:
        """The app of that name."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(apps).where(apps.c.name == name)).mappings().first()
        return _app(row) if row else None

    def require(self, name: str) -> App:
        """The app of that name. Raises UsageError (`no-such-app`) naming those that exist."""
        found = self.find(name)
        if found is None:
            names = [app.name for app in self.all()]
            known = ", ".join(names) or "none yet: `imageforge deploy PATH` makes one"
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError("no-such-app", name, "there is no app of this name", hint=f"{meant}apps: {known}")
        return found

    def all(self) -> tuple[App, ...]:
        """Every app, by name."""
        with self._database.reading() as connection:
            return tuple(_app(row) for row in connection.execute(sa.select(apps).order_by(apps.c.name)).mappings())

    def set_replicas(self, name: str, replicas: int | None) -> None:
        """Remember what `scale` asked for."""
        with self._database.writing() as connection:
            connection.execute(apps.update().where(apps.c.name == name).values(replicas=replicas))

    def scale(self, name: str, process: str, replicas: int) -> None:
        """Remember what `scale` asked for of a process beside web."""
        with self._database.writing() as connection:
            found = connection.execute(sa.select(apps.c.scales).where(apps.c.name == name)).scalar() or {}
            changed = {**found, process: replicas}
            connection.execute(apps.update().where(apps.c.name == name).values(scales=changed))

    def claim(self, name: str, processes: Iterable[str]) -> None:
        """Take the names of processes beside web, besides those it has. Raises UsageError (`process-name-taken`) where
        one would run under another app's name, or under that of its process."""
        mine = {f"{name}-{process}": process for process in processes}
        with self._database.writing() as connection:
            known: tuple[str, ...] = ()
            for other, names in _taken(connection):
                if other == name:
                    known = names
                    continue
                for full in (other, *(f"{other}-{process}" for process in names)):
                    if full in mine:
                        raise UsageError(
                            "process-name-taken",
                            name,
                            f"its process {mine[full]} would run as {full}, which "
                            + ("is an app" if full == other else f"a process of the app {other} does"),
                            hint="give the process another name in imageforge.toml",
                            kept="nothing was released",
                        )
            both = sorted({*known, *mine.values()})
            connection.execute(apps.update().where(apps.c.name == name).values(processes=both))

    def keep_processes(self, name: str, processes: Iterable[str]) -> None:
        """Give up the names of all processes but these."""
        with self._database.writing() as connection:
            connection.execute(apps.update().where(apps.c.name == name).values(processes=sorted(processes)))

    def configure(self, name: str, settings: AppSettings) -> None:
        """Set an app's settings."""
        with self._database.writing() as connection:
            connection.execute(apps.update().where(apps.c.name == name).values(settings=asdict(settings)))

    def delete(self, name: str) -> None:
        """Forget an app and its releases."""
        with self._database.writing() as connection:
            connection.execute(apps.delete().where(apps.c.name == name))


_SETTINGS = frozenset(known.name for known in fields(AppSettings))


def _app(row: Mapping[Any, Any]) -> App:
    stored = {key: value for key, value in (row["settings"] or {}).items() if key in _SETTINGS}
    if "watch" in stored:
        stored["watch"] = tuple(stored["watch"])
    return App(
        name=row["name"],
        created_at=row["created_at"],
        replicas=row["replicas"],
        scales=row["scales"] or {},
        processes=tuple(row["processes"] or ()),
        settings=AppSettings(**stored),
    )


def _taken(connection: sa.Connection) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = connection.execute(sa.select(apps.c.name, apps.c.processes).order_by(apps.c.name))
    return tuple((row[0], tuple(row[1] or ())) for row in rows)


def _refuse_taken(connection: sa.Connection, name: str) -> None:
    for other, processes in _taken(connection):
        for process in processes:
            if f"{other}-{process}" == name:
                raise UsageError(
                    "app-name-taken",
                    name,
                    f"the process {process} of the app {other} runs under this name",
                    hint="choose another name",
                )
