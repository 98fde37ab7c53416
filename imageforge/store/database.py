"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from imageforge.errors import StackError

HEAD = "0006"
"""The newest step in `migrations/versions`; a database that stands there is opened without Alembic being imported."""

BUSY_SECONDS = 30
"""How long a writer waits for another one's transaction; ours are short, a backup's are not."""


class Database:
    """One database; tables are made at the first use. Close it, or use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _open(url)
        try:
            self._migrate()
        except (OperationalError, DatabaseError) as error:
            self._engine.dispose()
            raise _unusable(self._shown, error) from error

    @classmethod
    def at(cls, file: Path) -> Database:
        """The SQLite database in a file, made where there is none."""
        return cls(f"sqlite:///{file}")

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end of the block. Raises StackError (`store-failed`)."""
        try:
            with self._engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
                yield connection
        except (OperationalError, DatabaseError) as error:
            raise _unusable(self._shown, error) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading. Raises StackError (`store-failed`)."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except (OperationalError, DatabaseError) as error:
            raise _unusable(self._shown, error) from error

    @property
    def _shown(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        # Here and not above: most commands find the tables as they should be, and start faster without it.
        from imageforge.store import migrate  # noqa: PLC0415

        # SQLite changes a table by making it anew and dropping the old one, which must not cascade to the rows that
        # point to it; a connection's foreign keys can only be switched off outside of a transaction.
        engine = _open(self._url, foreign_keys=False)
        with engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
            found = _revision(connection)  # another process may have been faster
            if found not in (None, HEAD) and found not in migrate.known_revisions():
                raise StackError(
                    "store-too-new",
                    self._shown,
                    f"written by a newer imageforge (schema {found}, this one knows {HEAD})",
                    hint="upgrade imageforge, or set IMAGEFORGE_HOME to another folder",
                    kept="nothing was changed",
                )
            if found != HEAD:
                migrate.upgrade(connection)
        engine.dispose()


def _revision(connection: sa.Connection) -> str | None:
    """The last step that was carried out; None for a new database and for one of before the migrations."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


WRITING = "imageforge_writing"


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads and then writes must take the write lock first: one that is upgraded later fails at once
    # when another writer was in between, however long the busy timeout.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITING) else "BEGIN")


def _open(url: str, *, foreign_keys: bool = True) -> sa.Engine:
    engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by _begin, not by the driver's guess
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        cursor.close()

    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", configure)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _unusable(where: str, error: Exception) -> StackError:
    reason = str(error.__cause__ or error).splitlines()[0]
    return StackError("store-failed", where, reason, hint="check the disk and the file's owner; `imageforge doctor`")
