"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from imageforge.errors import StackError
from imageforge.store import schema

BUSY_SECONDS = 30
"""How long a writer waits for another one's transaction; ours are short, a backup's are not."""


class Database:
    """One database; tables are made at the first use. Close it, or use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)
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
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, DatabaseError) as error:
            raise _unusable(self._shown, error) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading."""
        with self._engine.connect() as connection:
            yield connection

    @property
    def _shown(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def _migrate(self) -> None:
        with self._engine.begin() as connection:
            schema.metadata.create_all(connection)
            found = connection.execute(sa.select(sa.func.max(schema.schema_version.c.version))).scalar()
            if found is None:
                connection.execute(schema.schema_version.insert().values(version=schema.VERSION))
            elif found > schema.VERSION:
                raise StackError(
                    "store-too-new",
                    self._shown,
                    f"written by a newer imageforge (schema {found}, this one knows {schema.VERSION})",
                    hint="upgrade imageforge, or set IMAGEFORGE_HOME to another folder",
                    kept="nothing was changed",
                )


def _configure_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _unusable(where: str, error: Exception) -> StackError:
    reason = str(error.__cause__ or error).splitlines()[0]
    return StackError("store-failed", where, reason, hint="check the disk and the file's owner; `imageforge doctor`")
