"""What the controller must remember: objects, revisions, replicas. One SQLite file, one writer."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.restart import Backoff

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT, namespace TEXT, name TEXT, data TEXT NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name));
CREATE TABLE IF NOT EXISTS revisions (
    namespace TEXT, deployment TEXT, number INTEGER, template_hash TEXT NOT NULL,
    PRIMARY KEY (namespace, deployment, number));
CREATE TABLE IF NOT EXISTS replicas (
    name TEXT PRIMARY KEY, namespace TEXT NOT NULL, deployment TEXT NOT NULL, template_hash TEXT NOT NULL,
    template TEXT NOT NULL, created_at REAL NOT NULL, restarts INTEGER NOT NULL, delay REAL NOT NULL,
    attempt INTEGER NOT NULL, stopping INTEGER NOT NULL);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """A manifest as it was applied, and how often it changed."""

    kind: str
    namespace: str
    name: str
    data: dict[str, Any]
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReplica:
    """A replica that should exist (or, `stopping`, no more). `template` is the Deployment it was made from, as data;
    `attempt` numbers its containers."""

    name: str
    namespace: str
    deployment: str
    template_hash: str
    template: dict[str, Any]
    created_at: float
    backoff: Backoff
    attempt: int
    stopping: bool


class Store:
    """The controller's memory. Safe to call from several threads of the one process that owns it."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Several changes, all or none."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def objects(self) -> list[StoredObject]:
        """Every object, by kind, namespace and name."""
        rows = self._all("SELECT kind, namespace, name, data, generation FROM objects ORDER BY kind, namespace, name")
        return [_object(row) for row in rows]

    def get_object(self, kind: str, namespace: str, name: str) -> StoredObject | None:
        """One object."""
        rows = self._all(
            "SELECT kind, namespace, name, data, generation FROM objects WHERE kind=? AND namespace=? AND name=?",
            *(kind, namespace, name),
        )
        return _object(rows[0]) if rows else None

    def put_object(self, kind: str, namespace: str, name: str, data: Mapping[str, Any]) -> str:
        """Store a manifest; gives ``created``, ``configured`` or ``unchanged``."""
        known = self.get_object(kind, namespace, name)
        if known is not None and known.data == data:
            return "unchanged"
        generation = known.generation + 1 if known else 1
        self._do(
            "INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?)",
            *(kind, namespace, name, json.dumps(data), generation),
        )
        return "configured" if known else "created"

    def delete_object(self, kind: str, namespace: str, name: str) -> bool:
        """Forget an object; False where there was none."""
        self._do("DELETE FROM revisions WHERE namespace=? AND deployment=? AND ?='Deployment'", namespace, name, kind)
        return self._do("DELETE FROM objects WHERE kind=? AND namespace=? AND name=?", kind, namespace, name) > 0

    def revision(self, namespace: str, deployment: str, template_hash: str) -> int:
        """The number of a template, the highest where it was used more than once; 0 for an unknown one."""
        rows = self._all(
            "SELECT MAX(number) FROM revisions WHERE namespace=? AND deployment=? AND template_hash=?",
            *(namespace, deployment, template_hash),
        )
        return int(rows[0][0] or 0)

    def new_revision(self, namespace: str, deployment: str, template_hash: str) -> int:
        """Number a template that has become the newest; one that is the newest already keeps its number."""
        rows = self._all(
            "SELECT number, template_hash FROM revisions WHERE namespace=? AND deployment=? "
            "ORDER BY number DESC LIMIT 1",
            *(namespace, deployment),
        )
        if rows and rows[0][1] == template_hash:
            return int(rows[0][0])
        number = int(rows[0][0]) + 1 if rows else 1
        self._do("INSERT INTO revisions VALUES (?,?,?,?)", namespace, deployment, number, template_hash)
        return number

    def replicas(self) -> list[StoredReplica]:
        """Every replica."""
        rows = self._all(
            "SELECT name, namespace, deployment, template_hash, template, created_at, restarts, delay, attempt, "
            "stopping FROM replicas ORDER BY created_at"
        )
        return [
            StoredReplica(
                name=row[0],
                namespace=row[1],
                deployment=row[2],
                template_hash=row[3],
                template=json.loads(row[4]),
                created_at=row[5],
                backoff=Backoff(restarts=row[6], delay=row[7]),
                attempt=row[8],
                stopping=bool(row[9]),
            )
            for row in rows
        ]

    def put_replica(self, replica: StoredReplica) -> None:
        """Store a replica, before anything is done for it in the engine."""
        self._do(
            "INSERT OR REPLACE INTO replicas VALUES (?,?,?,?,?,?,?,?,?,?)",
            *(replica.name, replica.namespace, replica.deployment, replica.template_hash),
            json.dumps(replica.template),
            *(replica.created_at, replica.backoff.restarts, replica.backoff.delay, replica.attempt, replica.stopping),
        )

    def delete_replica(self, name: str) -> None:
        """Forget a replica, after everything of it is gone."""
        self._do("DELETE FROM replicas WHERE name=?", name)

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _do(self, statement: str, *values: object) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount


def _object(row: tuple[Any, ...]) -> StoredObject:
    return StoredObject(kind=row[0], namespace=row[1], name=row[2], data=json.loads(row[3]), generation=row[4])
