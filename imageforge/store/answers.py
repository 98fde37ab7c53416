"""Answers to creating calls that carried an Idempotency-Key: the same call again gets the same answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imageforge.store.database import Database
from imageforge.store.schema import answers, deliveries

KEPT_SECONDS = 24 * 3600.0
"""How long an answer is kept: as long as the best known APIs promise."""
PROVIDER = "idempotency"
"""Under which deliveries has the keys of calls that make builds: the build and its key are stored in one transaction,
so that a crash before the answer was kept makes no second build of the same call."""


_GUARD = threading.Lock()
_LOCKS: dict[tuple[str, str], tuple[threading.Lock, int]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was answered to a call; `fingerprint` is of the call's content."""

    fingerprint: str
    status: int
    body: Mapping[str, Any]


class Answers:
    """The kept answers of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def alone(self, token: str, key: str) -> Iterator[None]:
        """Keep other threads with the same key out until the block has ended."""
        with _GUARD:
            lock, users = _LOCKS.get((token, key), (threading.Lock(), 0))
            _LOCKS[token, key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with _GUARD:
                users = _LOCKS[token, key][1]
                if users == 1:
                    del _LOCKS[token, key]
                else:
                    _LOCKS[token, key] = (lock, users - 1)

    def find(self, token: str, key: str) -> Answer | None:
        """The answer that this bearer's key has got."""
        query = sa.select(answers).where(
            answers.c.token == token, answers.c.key == key, answers.c.created_at > time.time() - KEPT_SECONDS
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return Answer(fingerprint=row["fingerprint"], status=row["status"], body=row["body"]) if row else None

    def keep(self, token: str, key: str, answer: Answer) -> None:
        """Keep an answer."""
        now = time.time()
        with self._database.writing() as connection:
            connection.execute(answers.delete().where(answers.c.token == token, answers.c.key == key))
            connection.execute(
                answers.insert().values(
                    token=token,
                    key=key,
                    fingerprint=answer.fingerprint,
                    status=answer.status,
                    body=dict(answer.body),
                    created_at=now,
                )
            )

    def forget(self) -> None:
        """Drop answers that are too old, and with them which builds their calls made."""
        before = time.time() - KEPT_SECONDS
        made = sa.and_(deliveries.c.provider == PROVIDER, deliveries.c.received_at < before)
        with self._database.writing() as connection:
            connection.execute(answers.delete().where(answers.c.created_at < before))
            connection.execute(deliveries.delete().where(made))
