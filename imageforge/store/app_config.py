"""What an app is given beside its image: environment variables, and secrets as they are encrypted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import environment, secrets


class Purpose(StrEnum):
    """Whom a secret is for."""

    RUN = "run"
    """The containers, as an environment variable or a file."""
    BUILD = "build"
    """RUN steps that mount it."""
    REGISTRY = "registry"
    """A registry that the builds' base images come from; named after its host, ``USER:PASSWORD``."""
    WEBHOOK = "webhook"
    """The signatures of webhooks; one an app, named `webhook`."""
    SOURCE = "source"
    """At the host of the source: `token` or `deploy-key` to fetch it with, `status-token` to tell it how builds go."""
    HOOK = "hook"
    """Signing what is told to others; named after the hook."""


OWN = frozenset({Purpose.WEBHOOK, Purpose.HOOK})
"""Purposes of secrets that imageforge makes for itself; they are shown where they are entered, not among the app's."""


class Environment:
    """The environment variables of an app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, app: str) -> Mapping[str, str]:
        """The variables, by name."""
        query = sa.select(environment).where(environment.c.app == app).order_by(environment.c.name)
        with self._database.reading() as connection:
            return {row["name"]: row["value"] for row in connection.execute(query).mappings()}

    def change(self, app: str, values: Mapping[str, str | None]) -> None:
        """Set variables; None takes one away."""
        with self._database.writing() as connection:
            for name, value in values.items():
                mine = sa.and_(environment.c.app == app, environment.c.name == name)
                connection.execute(environment.delete().where(mine))
                if value is not None:
                    connection.execute(environment.insert().values(app=app, name=name, value=value))


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedSecret:
    """A secret of an app, sealed. `path` is where containers have it below /run/secrets, None where they have none or
    it is a variable."""

    name: str
    purpose: Purpose
    value: bytes = field(repr=False)
    path: str | None = None
    updated_at: float = 0.0


class SealedSecrets:
    """The secrets of the apps, sealed: what opens them is not in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, app: str, purpose: Purpose | None = None) -> tuple[SealedSecret, ...]:
        """An app's secrets, by purpose and name."""
        query = sa.select(secrets).where(secrets.c.app == app).order_by(secrets.c.purpose, secrets.c.name)
        if purpose is not None:
            query = query.where(secrets.c.purpose == purpose.value)
        with self._database.reading() as connection:
            return tuple(
                SealedSecret(
                    name=row["name"],
                    purpose=Purpose(row["purpose"]),
                    value=row["value"],
                    path=row["path"],
                    updated_at=row["updated_at"],
                )
                for row in connection.execute(query).mappings()
            )

    def exist(self) -> bool:
        """Whether any app has a secret."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(secrets.c.name).limit(1)).first() is not None

    def change(self, app: str, put: Iterable[SealedSecret], remove: Iterable[tuple[Purpose, str]] = ()) -> None:
        """Set some and forget others, all or none of it."""
        with self._database.writing() as connection:
            for purpose, name in remove:
                connection.execute(secrets.delete().where(_one(app, name, purpose)))
            for secret in put:
                connection.execute(secrets.delete().where(_one(app, secret.name, secret.purpose)))
                connection.execute(
                    secrets.insert().values(
                        app=app,
                        name=secret.name,
                        purpose=secret.purpose.value,
                        value=secret.value,
                        path=secret.path,
                        updated_at=time.time(),
                    )
                )

    def put(self, app: str, name: str, purpose: Purpose, sealed: bytes) -> None:
        """Set a secret."""
        self.change(app, [SealedSecret(name=name, purpose=purpose, value=sealed)])

    def remove(self, app: str, name: str, purpose: Purpose) -> bool:
        """Forget a secret; False where there was none."""
        with self._database.writing() as connection:
            return connection.execute(secrets.delete().where(_one(app, name, purpose))).rowcount > 0

    def of(self, app: str, purpose: Purpose | None = None) -> Mapping[tuple[Purpose, str], bytes]:
        """An app's secrets, sealed."""
        return {(secret.purpose, secret.name): secret.value for secret in self.all(app, purpose)}

    def count(self) -> int:
        """How many there are of all apps."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(secrets)).scalar_one())


def _one(app: str, name: str, purpose: Purpose) -> sa.ColumnElement[bool]:
    return sa.and_(secrets.c.app == app, secrets.c.name == name, secrets.c.purpose == purpose.value)
