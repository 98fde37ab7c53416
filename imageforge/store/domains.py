"""Domains: names of an app's own, beside the one that every app has. They are the app's, and no release's."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from imageforge.errors import UsageError
from imageforge.store.database import Database
from imageforge.store.schema import domains


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """One domain, as DNS has it."""

    name: str
    app: str
    created_at: float


class DomainTaken(UsageError):
    """The domain is another app's."""


class Domains:
    """The domains of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, app: str) -> tuple[Domain, ...]:
        """An app's, in the order in which they were added."""
        return self._select(domains.c.app == app)

    def all(self) -> tuple[Domain, ...]:
        """Every app's."""
        return self._select(sa.true())

    def add(self, app: str, name: str, *, created_at: float | None = None) -> tuple[Domain, bool]:
        """The app's domain, and whether it is new; `created_at` is now. Raises DomainTaken (`domain-taken`), which does
        not say by whom: a token for one app learns nothing of others."""
        with self._database.writing() as connection:
            row = connection.execute(sa.select(domains).where(domains.c.name == name)).mappings().first()
            if row is not None and row["app"] != app:
                raise DomainTaken(
                    "domain-taken",
                    name,
                    "it leads to another app",
                    hint="take it from that one first: imageforge domains rm APP DOMAIN",
                    kept="nothing was changed",
                )
            if row is not None:
                return Domain(**row), False
            made = Domain(name=name, app=app, created_at=time.time() if created_at is None else created_at)
            connection.execute(domains.insert().values(name=name, app=app, created_at=made.created_at))
            return made, True

    def put_back(self, domain: Domain) -> None:
        """Undo a `remove`. Raises DomainTaken where another app was given it meanwhile."""
        self.add(domain.app, domain.name, created_at=domain.created_at)

    def remove(self, app: str, name: str) -> bool:
        """Take a domain from an app; False where it has none of this name."""
        with self._database.writing() as connection:
            mine = sa.and_(domains.c.app == app, domains.c.name == name)
            return connection.execute(domains.delete().where(mine)).rowcount > 0

    def _select(self, condition: sa.ColumnElement[bool]) -> tuple[Domain, ...]:
        query = sa.select(domains).where(condition).order_by(domains.c.created_at, domains.c.name)
        with self._database.reading() as connection:
            return tuple(Domain(**row) for row in connection.execute(query).mappings())
