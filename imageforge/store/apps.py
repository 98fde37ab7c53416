"""Apps: a name, and what was set for it by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import apps


@dataclass(frozen=True, kw_only=True, slots=True)
class App:
    """One app; `replicas` is what `scale` asked for, None where nobody did."""

    name: str
    created_at: float
    replicas: int | None


class Apps:
    """The apps of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, name: str) -> App:
        """The app, made if need be."""
        found = self.find(name)
        if found is None:
            with self._database.writing() as connection:
                exists = connection.execute(sa.select(apps.c.name).where(apps.c.name == name)).first()
                if exists is None:
                    connection.execute(apps.insert().values(name=name, created_at=time.time(), replicas=None))
            found = self.find(name)
        assert found is not None
        return found

    def find(self, name: str) -> App | None:
        """The app of that name."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(apps).where(apps.c.name == name)).mappings().first()
        return App(**row) if row else None

    def all(self) -> tuple[App, ...]:
        """Every app, by name."""
        with self._database.reading() as connection:
            return tuple(App(**row) for row in connection.execute(sa.select(apps).order_by(apps.c.name)).mappings())

    def set_replicas(self, name: str, replicas: int | None) -> None:
        """Remember what `scale` asked for."""
        with self._database.writing() as connection:
            connection.execute(apps.update().where(apps.c.name == name).values(replicas=replicas))

    def delete(self, name: str) -> None:
        """Forget an app and its releases."""
        with self._database.writing() as connection:
            connection.execute(apps.delete().where(apps.c.name == name))
