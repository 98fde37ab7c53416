"""Tokens: who may do what. Only a digest is stored; the token itself is seen once, by whom it was made for."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import tokens

TOKEN = re.compile(r"ifg_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
USED_EVERY = 60.0
"""Seconds between two notes of a token's last use: a write for each request would be the API's slowest part."""


class Scope(StrEnum):
    """What a token lets its bearer do; each includes those before it."""

    BUILD = "build"
    DEPLOY = "deploy"
    ADMIN = "admin"


RANK = {scope: rank for rank, scope in enumerate(Scope)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token, without its secret. `app` None: for every app."""

    id: str
    name: str
    scope: Scope
    app: str | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None

    def allows(self, scope: Scope, app: str | None) -> bool:
        """Whether it reaches so far; `app` None asks for what concerns all apps."""
        return RANK[self.scope] >= RANK[scope] and self.app in (None, app)

    def valid(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Tokens:
    """The tokens of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scope: Scope, *, app: str | None = None, expires_at: float | None = None
    ) -> tuple[Token, str]:
        """A new token and its text, 256 random bits of it secret, which cannot be had again."""
        secret = secrets.token_urlsafe(32)
        token = Token(
            id=secrets.token_hex(4),
            name=name,
            scope=scope,
            app=app,
            created_at=time.time(),
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
        )
        values = {
            "id": token.id,
            "name": name,
            "digest": _digest(secret),
            "scopes": [scope.value],
            "app": app,
            "created_at": token.created_at,
            "expires_at": expires_at,
        }
        with self._database.writing() as connection:
            connection.execute(tokens.insert().values(values))
        return token, f"ifg_{token.id}_{secret}"

    def check(self, text: str, *, now: float | None = None) -> Token | None:
        """The valid token with this text; None for every other one, in the same time."""
        moment = time.time() if now is None else now
        token = self.identified(text)
        if token is None or not token.valid(moment):
            return None
        if token.last_used_at is None or moment - token.last_used_at > USED_EVERY:
            with self._database.writing() as connection:
                connection.execute(tokens.update().where(tokens.c.id == token.id).values(last_used_at=moment))
        return token

    def identified(self, text: str) -> Token | None:
        """The token with this text, valid or not; None for every text of which the secret part is wrong. Only who has
        a token learns that it was revoked or has expired."""
        match = TOKEN.fullmatch(text)
        token_id, secret = match.groups() if match else ("", "")
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tokens).where(tokens.c.id == token_id)).mappings().first()
        right = hmac.compare_digest(_digest(secret), row["digest"] if row else _digest("no such token"))
        return _token(row) if row is not None and right else None

    def all(self) -> tuple[Token, ...]:
        """Every token, oldest first."""
        with self._database.reading() as connection:
            query = sa.select(tokens).order_by(tokens.c.created_at)
            return tuple(_token(row) for row in connection.execute(query).mappings())

    def revoke(self, token_id: str) -> bool:
        """Make a token worthless; False for an unknown one."""
        with self._database.writing() as connection:
            mine = sa.and_(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
            changed = connection.execute(tokens.update().where(mine).values(revoked_at=time.time()))
            return changed.rowcount > 0


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Mapping[Any, Any]) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        scope=Scope(row["scopes"][0]),
        app=row["app"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
