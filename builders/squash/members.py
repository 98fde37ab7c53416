"""Where members lie in the blobs of the store: found by size and checksum of their plain bytes, to be copied.

The index is a help and no more: what it finds is compared before it is copied, an index that cannot be read is thrown
away, and what it does not know is packed again. Several processes may use it at once.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
_NAME = "members.sqlite"
_VERSION = 4
_STEP = 1 << 20
_PATIENCE = 5.0  # seconds for another process to be done
_TABLES = """
CREATE TABLE member (
    codec TEXT NOT NULL, plain INTEGER NOT NULL, crc INTEGER NOT NULL,
    blob TEXT NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
    digest BLOB NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (codec, plain, crc)
) WITHOUT ROWID, STRICT;
CREATE INDEX member_blob ON member (blob);
"""
_PUT = """
INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    blob = excluded.blob, start = excluded.start, size = excluded.size, digest = excluded.digest, seal = excluded.seal
    WHERE excluded.digest != x'' OR member.digest = x''
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A member in a blob: `size` bytes from `start` on, made of `plain` bytes, with the crc32 `crc`.

    Where it is proved that it unpacks to them, `digest` is their sha256, and `seal` that of the packed ones. Else
    `digest` is empty, and `seal` the crc32 of the packed ones.
    """

    plain: int
    crc: int
    start: int
    size: int
    digest: bytes
    seal: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A member in the blob at `path`, which may be the one that is looked for."""

    path: Path
    placed: Placed

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, as far as there are any, and the index says where; a disk may fail, too."""
        at, end = self.placed.start, self.placed.start + self.placed.size
        with suppress(OSError), self.path.open("rb", buffering=0) as file:
            while at < end and (block := os.pread(file.fileno(), min(_STEP, end - at), at)):
                at += len(block)
                yield block


class Members:
    """The index in the folder of a blob store. For several threads. No method raises because of the index's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> Members:
        with self._lock:
            try:
                self._database = self._opened()
            except sqlite3.Error as error:
                self._give_up(error)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock, suppress(sqlite3.Error):
            if self._database is not None:
                self._database.close()
            self._database = None

    def find(self, codec: str, plain: int, crc: int) -> Found | None:
        """Where a member of so many plain bytes with this checksum lies."""
        query = "SELECT blob, start, size, digest, seal FROM member WHERE codec = ? AND plain = ? AND crc = ?"
        for blob, start, size, digest, seal in self._ask(query, codec, plain, crc):
            if _is_name(blob):
                placed = Placed(plain=plain, crc=crc, start=start, size=size, digest=digest, seal=seal)
                return Found(path=self._folder / "sha256" / blob, placed=placed)
        return None

    def has_size(self, codec: str, plain: int) -> bool:
        """Whether there is a member of so many plain bytes."""
        return bool(self._ask("SELECT 1 FROM member WHERE codec = ? AND plain = ? LIMIT 1", codec, plain))

    def put(self, codec: str, blob: str, members: Iterable[Placed]) -> None:
        """Notes the members of a blob, whose hexadecimal digest is `blob`. The newest place of a member counts, but a
        proved one more."""
        rows = [(codec, one.plain, one.crc, blob, one.start, one.size, one.digest, one.seal) for one in members]
        self._change(_PUT, rows)

    def forget(self, blobs: Collection[str]) -> None:
        """Drops what lay in blobs, by their hexadecimal digests."""
        self._change("DELETE FROM member WHERE blob = ?", [(blob,) for blob in blobs])

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._database is None:
                return []
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                self._give_up(error)
                return []

    def _change(self, query: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock:
            if self._database is None or not rows:
                return
            try:
                with self._database:
                    self._database.executemany(query, rows)
            except sqlite3.Error as error:
                self._give_up(error)

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        try:
            # A crash may cost the index, and never more: no journal is kept beside it.
            database.execute("PRAGMA journal_mode = MEMORY")
            database.execute("PRAGMA synchronous = OFF")
            if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                _create(database)
            return database
        except sqlite3.Error:
            database.close()
            raise

    def _give_up(self, error: sqlite3.Error) -> None:
        """Without an index for this time. One that is merely in use stays, a damaged one goes."""
        logger.debug("index of members %s: %s", self._path, error)
        with suppress(sqlite3.Error):
            if self._database is not None:
                self._database.close()
        self._database = None
        # Errors that the module finds by itself, such as text that is not UTF-8, have no code.
        busy = getattr(error, "sqlite_errorcode", None) in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_CANTOPEN,
        )
        if not busy:
            with suppress(OSError):
                self._path.unlink()


def forget(folder: Path, blobs: Collection[str]) -> None:
    """Drops what lay in blobs of the store in `folder`, by their hexadecimal digests."""
    if blobs and (folder / _NAME).exists():
        with Members(folder) as members:
            members.forget(blobs)


def _create(database: sqlite3.Connection) -> None:
    """The tables, where two processes may begin at once and a file of another version may be there."""
    with closing(database.cursor()) as cursor:
        cursor.execute("BEGIN EXCLUSIVE")
        if cursor.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            cursor.execute("DROP TABLE IF EXISTS member")
            for statement in _TABLES.split(";"):
                cursor.execute(statement)
            cursor.execute(f"PRAGMA user_version = {_VERSION}")
        cursor.execute("COMMIT")


def _is_name(blob: str) -> bool:
    return len(blob) == 64 and blob.isalnum()
