"""What should be running, in SQLite: objects, revisions, replicas. The controller is its only writer."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import RuntimeFailure, StoreClosed
from runtime.model import Event

VERSION = 1

_SCHEMA = """
CREATE TABLE object (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    data TEXT NOT NULL, generation INTEGER NOT NULL, deleting INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, namespace, name)
);
CREATE TABLE revision (
    namespace TEXT NOT NULL, deployment TEXT NOT NULL, hash TEXT NOT NULL,
    number INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (namespace, deployment, hash)
);
CREATE TABLE replica (
    name TEXT PRIMARY KEY, namespace TEXT NOT NULL, deployment TEXT NOT NULL, hash TEXT NOT NULL,
    created_at REAL NOT NULL, state TEXT NOT NULL
);
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_ADDED = """
CREATE TABLE IF NOT EXISTS job_run (
    namespace TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (namespace, name)
);
CREATE TABLE IF NOT EXISTS service_place (
    namespace TEXT NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL, node_ports TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
);
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    warning INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
    count INTEGER NOT NULL, first_at REAL NOT NULL, last_at REAL NOT NULL,
    UNIQUE (namespace, kind, name, warning, reason, message)
);
CREATE TABLE IF NOT EXISTS rollout (
    number INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, deployment TEXT NOT NULL, state TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS rollout_of ON rollout (namespace, deployment, number);
"""
"""Tables that earlier versions of this format have not, and do not mind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """A manifest as it stands, scale and restarts included; a Secret's values are sealed.
    `generation` grows with each change."""

    kind: str
    namespace: str
    name: str
    data: dict[str, Any] = field(repr=False)
    generation: int
    deleting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRevision:
    """A template that a Deployment has had; `data` is the manifest it came from."""

    hash: str
    number: int
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReplica:
    """A replica that was decided on; `state` is its keeper's memory."""

    name: str
    namespace: str
    deployment: str
    hash: str
    created_at: float
    state: dict[str, Any]


def autoscaler_note(namespace: str, name: str) -> str:
    """The key of what is kept of a HorizontalPodAutoscaler beside its manifest; it goes with that."""
    return f"hpa {namespace}/{name}"


class Store:
    """One connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.RLock()
        self._closed = False
        with self._translated():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """End the connection. Whoever still asks, such as a thread that awaits the engine, gets StoreClosed."""
        with self._lock:
            self._closed = True
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the changes inside, or none."""
        with self._lock:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._execute("COMMIT")

    def objects(self, kind: str) -> tuple[StoredObject, ...]:
        """All objects of a kind, by namespace and name."""
        rows = self._query(
            "SELECT kind, namespace, name, data, generation, deleting FROM object WHERE kind = ? "
            "ORDER BY namespace, name",
            kind,
        )
        return tuple(_object(row) for row in rows)

    def objects_in(self, namespace: str) -> tuple[StoredObject, ...]:
        """All objects of a namespace, of any kind."""
        rows = self._query(
            "SELECT kind, namespace, name, data, generation, deleting FROM object WHERE namespace = ? "
            "ORDER BY kind, name",
            namespace,
        )
        return tuple(_object(row) for row in rows)

    def object(self, kind: str, namespace: str, name: str) -> StoredObject | None:
        """One object, or None."""
        rows = self._query(
            "SELECT kind, namespace, name, data, generation, deleting FROM object "
            "WHERE kind = ? AND namespace = ? AND name = ?",
            kind,
            namespace,
            name,
        )
        return _object(rows[0]) if rows else None

    def put_object(self, stored: StoredObject) -> None:
        """Write an object, new or changed."""
        self._execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?)",
            stored.kind,
            stored.namespace,
            stored.name,
            json.dumps(stored.data),
            stored.generation,
            stored.deleting,
        )

    def drop_object(self, kind: str, namespace: str, name: str) -> None:
        """Forget an object, and with it a Deployment's revisions, or what became of a Job."""
        with self.transaction():
            self._execute("DELETE FROM object WHERE kind = ? AND namespace = ? AND name = ?", kind, namespace, name)
            if kind == "Deployment":
                self._execute("DELETE FROM revision WHERE namespace = ? AND deployment = ?", namespace, name)
                self._execute("DELETE FROM rollout WHERE namespace = ? AND deployment = ?", namespace, name)
            elif kind == "Job":
                self._execute("DELETE FROM job_run WHERE namespace = ? AND name = ?", namespace, name)
            elif kind == "HorizontalPodAutoscaler":
                # With it, for a controller that is killed now: who keeps the note knows only those that are there.
                self.drop_note(autoscaler_note(namespace, name))

    def revisions(self, namespace: str, deployment: str) -> tuple[StoredRevision, ...]:
        """A Deployment's revisions, the newest last."""
        rows = self._query(
            "SELECT hash, number, data FROM revision WHERE namespace = ? AND deployment = ? ORDER BY number",
            namespace,
            deployment,
        )
        return tuple(StoredRevision(hash=row[0], number=row[1], data=json.loads(row[2])) for row in rows)

    def put_revision(self, namespace: str, deployment: str, revision: StoredRevision) -> None:
        """Write a revision; one with the same template takes the new number."""
        self._execute(
            "INSERT OR REPLACE INTO revision VALUES (?, ?, ?, ?, ?)",
            namespace,
            deployment,
            revision.hash,
            revision.number,
            json.dumps(revision.data),
        )

    def drop_revision(self, namespace: str, deployment: str, template_hash: str) -> None:
        """Forget a revision."""
        self._execute(
            "DELETE FROM revision WHERE namespace = ? AND deployment = ? AND hash = ?",
            namespace,
            deployment,
            template_hash,
        )

    def add_rollout(self, namespace: str, deployment: str, state: dict[str, Any], kept: int) -> None:
        """Write a new record of a rollout; of those before it the newest stay, `kept` in all."""
        self._execute(
            "INSERT INTO rollout (namespace, deployment, state) VALUES (?, ?, ?)",
            namespace,
            deployment,
            json.dumps(state),
        )
        self._execute(
            "DELETE FROM rollout WHERE namespace = ? AND deployment = ? AND number <= (SELECT number FROM rollout "
            "WHERE namespace = ? AND deployment = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            namespace,
            deployment,
            namespace,
            deployment,
            kept,
        )

    def put_rollout(self, number: int, state: dict[str, Any]) -> None:
        """Write how a rollout stands now; one that is forgotten stays so."""
        self._execute("UPDATE rollout SET state = ? WHERE number = ?", json.dumps(state), number)

    def rollouts(self, namespace: str, deployment: str) -> tuple[tuple[int, dict[str, Any]], ...]:
        """The records of a Deployment's rollouts with their numbers, the newest last."""
        rows = self._query(
            "SELECT number, state FROM rollout WHERE namespace = ? AND deployment = ? ORDER BY number",
            namespace,
            deployment,
        )
        return tuple((row[0], json.loads(row[1])) for row in rows)

    def replicas(self) -> tuple[StoredReplica, ...]:
        """All replicas that were decided on and not yet removed."""
        rows = self._query("SELECT name, namespace, deployment, hash, created_at, state FROM replica ORDER BY name")
        return tuple(
            StoredReplica(
                name=row[0],
                namespace=row[1],
                deployment=row[2],
                hash=row[3],
                created_at=row[4],
                state=json.loads(row[5]),
            )
            for row in rows
        )

    def put_replica(self, replica: StoredReplica) -> None:
        """Write a replica, new or changed."""
        self._execute(
            "INSERT OR REPLACE INTO replica VALUES (?, ?, ?, ?, ?, ?)",
            replica.name,
            replica.namespace,
            replica.deployment,
            replica.hash,
            replica.created_at,
            json.dumps(replica.state),
        )

    def drop_replica(self, name: str) -> None:
        """Forget a replica."""
        self._execute("DELETE FROM replica WHERE name = ?", name)

    def job_runs(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What became of each Job, by namespace and name."""
        rows = self._query("SELECT namespace, name, state FROM job_run")
        return {(row[0], row[1]): json.loads(row[2]) for row in rows}

    def put_job_run(self, namespace: str, name: str, state: dict[str, Any]) -> None:
        """Write what became of a Job so far."""
        self._execute("INSERT OR REPLACE INTO job_run VALUES (?, ?, ?)", namespace, name, json.dumps(state))

    def service_places(self) -> dict[tuple[str, str], tuple[str, dict[str, int]]]:
        """What each Service was given, by namespace and name: an address, ports of the machine by the port's name."""
        rows = self._query("SELECT namespace, name, address, node_ports FROM service_place")
        return {(row[0], row[1]): (row[2], json.loads(row[3])) for row in rows}

    def put_service_place(self, namespace: str, name: str, address: str, node_ports: dict[str, int]) -> None:
        """Write what a Service was given."""
        self._execute(
            "INSERT OR REPLACE INTO service_place VALUES (?, ?, ?, ?)", namespace, name, address, json.dumps(node_ports)
        )

    def drop_service_place(self, namespace: str, name: str) -> None:
        """The Service gave it back."""
        self._execute("DELETE FROM service_place WHERE namespace = ? AND name = ?", namespace, name)

    def put_event(self, event: Event) -> int:
        """Write an event, or count the same one once more; its number, larger than all before."""
        same = (event.namespace, event.kind, event.name, event.warning, event.reason, event.message)
        with self.transaction():
            known = self._query(
                "SELECT count, first_at FROM event WHERE namespace = ? AND kind = ? AND name = ? AND warning = ? "
                "AND reason = ? AND message = ?",
                *same,
            )
            count, first_at = known[0] if known else (0, event.first_at)
            self._execute(
                "INSERT OR REPLACE INTO event (namespace, kind, name, warning, reason, message, count, first_at, "
                "last_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *same,
                count + event.count,
                first_at,
                event.last_at,
            )
            return self.newest_event()

    def newest_event(self) -> int:
        """The number of the latest event; 0 before the first."""
        rows = self._query("SELECT max(number) FROM event")
        return rows[0][0] or 0

    def events(self, namespace: str | None, kind: str | None, name: str | None, *, after: int) -> tuple[Event, ...]:
        """The events of what is named, those with a larger number than `after`, the latest last."""
        rows = self._query(
            "SELECT namespace, kind, name, warning, reason, message, count, first_at, last_at, number FROM event "
            "WHERE number > ? AND coalesce(?, namespace) = namespace AND coalesce(?, kind) = kind "
            "AND coalesce(?, name) = name ORDER BY number",
            after,
            namespace,
            kind,
            name,
        )
        return tuple(
            Event(
                namespace=row[0],
                kind=row[1],
                name=row[2],
                warning=bool(row[3]),
                reason=row[4],
                message=row[5],
                count=row[6],
                first_at=row[7],
                last_at=row[8],
                number=row[9],
            )
            for row in rows
        )

    def trim_events(self, kept: int, since: float) -> None:
        """Forget all but the latest `kept` events, and those that were last said before `since`."""
        self._execute(
            "DELETE FROM event WHERE last_at < ? OR number <= (SELECT number FROM event ORDER BY number DESC "
            "LIMIT 1 OFFSET ?)",
            since,
            kept,
        )

    def note(self, key: str) -> str | None:
        """A text kept under a key."""
        rows = self._query("SELECT value FROM note WHERE key = ?", key)
        return rows[0][0] if rows else None

    def put_note(self, key: str, value: str) -> None:
        """Keep a text under a key."""
        self._execute("INSERT OR REPLACE INTO note VALUES (?, ?)", key, value)

    def drop_note(self, key: str) -> None:
        """Forget the text under a key."""
        self._execute("DELETE FROM note WHERE key = ?", key)

    def _prepare(self) -> None:
        with self._translated():
            self._path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            if version <= VERSION:
                self._db.executescript(_ADDED)
        if version > VERSION:
            raise RuntimeFailure(
                "store-newer",
                str(self._path),
                f"written by a later version (format {version}, expected at most {VERSION})",
                hint="use the version that wrote it",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed:
            raise StoreClosed("store-closed", str(self._path), "the controller has stopped")
        try:
            yield
        except sqlite3.Error as error:
            raise RuntimeFailure(
                "store-failed", str(self._path), str(error), hint="look at the disk's space and the file's owner"
            ) from error

    def _query(self, sql: str, *values: Any) -> list[Any]:
        with self._lock, self._translated():
            return self._db.execute(sql, values).fetchall()

    def _execute(self, sql: str, *values: Any) -> None:
        with self._lock, self._translated():
            self._db.execute(sql, values)


def _object(row: Any) -> StoredObject:
    return StoredObject(
        kind=row[0], namespace=row[1], name=row[2], data=json.loads(row[3]), generation=row[4], deleting=bool(row[5])
    )
