"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from imageforge.errors import StackError
from imageforge.store.turn import Turn

HEAD = "0007"
"""The newest step in `migrations/versions`; a database that stands there is opened without Alembic being imported."""

BUSY_SECONDS = 30
"""How long a writer waits for another one's transaction; ours are short, a backup's are not."""
ASK_SECONDS, ASK_SLOWLY_SECONDS, SOON_SECONDS = 0.001, 0.01, 0.25
"""How often a writer asks for SQLite's write lock, and how often once it has waited for the third. SQLite's own waits
grow to a tenth of a second, while the lock is had for milliseconds at a time: who waits longest would get it last."""
MOST_TOGETHER = 64
"""Actions in one transaction at most, so that the lock is given back."""

T = TypeVar("T")


@dataclass(kw_only=True, slots=True, eq=False)
class _Item:
    """An action that waits for a transaction, then what came of it."""

    action: Callable[[sa.Connection], Any]
    done: bool = False
    value: Any = None
    error: Exception | None = None


class Database:
    """One database; tables are made at the first use. Close it, or use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _open(url)
        # One of this process at a time asks for SQLite's write lock: the others would ask in vain, and more often.
        sqlite = self._engine.dialect.name == "sqlite"
        self._turn = Turn(BUSY_SECONDS, self._late) if sqlite else contextlib.nullcontext()
        self._leading = threading.Lock()
        self._joining = threading.Lock()
        self._items: list[_Item] = []
        self._shared = threading.local()
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
            with (
                self._turn,
                self._engine.connect().execution_options(**{WRITING: True}) as connection,
                connection.begin(),
            ):
                yield connection
        except (OperationalError, DatabaseError) as error:
            raise _unusable(self._shown, error) from error

    def _late(self) -> StackError:
        return StackError(
            "store-failed",
            self._shown,
            f"other writers have held it for {BUSY_SECONDS} s",
            hint="check the disk; `imageforge doctor`",
        )

    def together(self, action: Callable[[sa.Connection], T]) -> T:
        """What `action` gives, once the transaction that it is part of is on the disk. Callers that come while another
        transaction is under way share the next one: a disk that is written through to once has taken them all.

        One that fails is undone alone, and fails its caller alone. Raises what `action` raises, and StackError
        (`store-failed`) where the transaction itself fails: then nothing of any of them is stored.
        """
        mine = _Item(action=action)
        with self._joining:
            self._items.append(mine)
        try:
            with self._leading:
                while not mine.done:
                    self._carry_out_next()
        finally:
            with self._joining, contextlib.suppress(ValueError):
                self._items.remove(mine)  # we were interrupted, and nobody has taken it
        if mine.error is not None:
            raise mine.error
        result: T = mine.value
        return result

    def _carry_out_next(self) -> None:
        """One transaction over those that wait. Who is interrupted in it leaves the others' to wait again."""
        ended = False
        items: list[_Item] = []
        try:
            with self.writing() as connection:
                # Taken now: whoever came while we waited for the lock is with us.
                with self._joining:
                    items, self._items = self._items[:MOST_TOGETHER], self._items[MOST_TOGETHER:]
                for item in items:
                    self._try(item, connection, alone=len(items) == 1)
            ended = True
        except Exception as error:
            if not items:  # the lock was not to be had, for none of them
                with self._joining:
                    items, self._items = self._items, []
            for item in items:
                item.error = error if len(items) == 1 else _again(error)
            ended = True
        finally:
            if ended:
                for item in items:
                    item.done = True
            else:
                with self._joining:
                    self._items = items + self._items

    def _try(self, item: _Item, connection: sa.Connection, *, alone: bool) -> None:
        item.error = None  # of a transaction that was interrupted
        if alone:
            item.value = item.action(connection)
            return
        part = connection.begin_nested()
        try:
            item.value = item.action(connection)
        except (OperationalError, DatabaseError) as error:
            item.error = _unusable(self._shown, error)
            part.rollback()  # fails, and with it the whole, where the database has rolled back everything by itself
        except Exception as error:
            item.error = error
            part.rollback()
        else:
            part.commit()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading. Raises StackError (`store-failed`)."""
        shared: sa.Connection | None = getattr(self._shared, "connection", None)
        try:
            with contextlib.nullcontext(shared) if shared is not None else self._engine.connect() as connection:
                yield connection
        except (OperationalError, DatabaseError) as error:
            raise _unusable(self._shown, error) from error

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """What this thread reads within is read by one connection, and is of one moment: to open one for each question
        takes longer than the answer. What it writes within is not seen by it before the end."""
        if getattr(self._shared, "connection", None) is not None:
            yield
            return
        with self.reading() as connection:
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    @property
    def _shown(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            found = _revision(connection)
            if found == HEAD or (found is not None and found > HEAD and _oldest(connection) <= HEAD):
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


def _oldest(connection: sa.Connection) -> str:
    """The oldest step whose programs may work with a newer store: a number of four digits, so that text compares."""
    return str(connection.execute(sa.text("SELECT oldest FROM compatibility")).scalar_one())


WRITING = "imageforge_writing"


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads and then writes must take the write lock first: one that is upgraded later fails at once
    # when another writer was in between, however long the busy timeout.
    if not connection.get_execution_options().get(WRITING):
        connection.exec_driver_sql("BEGIN")
        return
    raw: Any = connection.connection.dbapi_connection
    began = time.monotonic()
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while (waited := time.monotonic() - began) < BUSY_SECONDS:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(ASK_SECONDS if waited < SOON_SECONDS else ASK_SLOWLY_SECONDS)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # which fails, and as SQLAlchemy's own error
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


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


def _again(error: Exception) -> Exception:
    """The same error for one more caller: each raises its own, with its own traceback."""
    if isinstance(error, StackError):
        return StackError(error.code, error.subject, error.message, hint=error.hint)
    return error


def _unusable(where: str, error: Exception) -> StackError:
    reason = str(error.__cause__ or error).splitlines()[0]
    return StackError("store-failed", where, reason, hint="check the disk and the file's owner; `imageforge doctor`")
