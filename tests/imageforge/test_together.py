"""Transactions that callers share: one commit for all, and each caller's failure its own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from imageforge.errors import StackError, UsageError
from imageforge.store import BuildQueue, Builds, Database, DeliveryKey, Submission
from imageforge.store.schema import apps, builds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with Database.at(file) as opened:
        yield opened


def push(number: int) -> Submission:
    key = DeliveryKey(provider="github", delivery=str(number))
    return Submission(app="shop", source="x", spec={}, origin="webhook", branch="main", delivery=key)


@contextmanager
def held(database: Database) -> Iterator[None]:
    """The write lock is another's for as long as the block takes."""
    with database.writing() as connection:
        connection.execute(sa.text("SELECT 1"))
        yield


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that are sent, and the commits."""
    seen: list[str] = []

    def statement(_c: object, _cursor: object, text: str, *_: object) -> None:
        seen.append(text.split(maxsplit=1)[0])

    def commit(_c: object) -> None:
        seen.append("COMMIT")

    engine = database._engine
    sa.event.listen(engine, "before_cursor_execute", statement)
    sa.event.listen(engine, "commit", commit)
    try:
        yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)
        sa.event.remove(engine, "commit", commit)


def waiting(database: Database, count: int) -> None:
    """Until so many have joined."""
    event = threading.Event()
    while len(database._items) < count:
        event.wait(0.001)


def test_who_comes_while_the_lock_is_anothers_shares_one_commit(database: Database) -> None:
    queue = BuildQueue(database)
    with ThreadPoolExecutor(30) as pool, counted(database) as seen:
        with held(database):
            futures = [pool.submit(queue.submit, push(number)) for number in range(30)]
            waiting(database, 30)
        accepted = [future.result() for future in futures]
    assert seen.count("COMMIT") == 2  # the holder's, and one for all thirty
    assert len({one.build_id for one in accepted}) == 30
    assert Builds(database).counts() == {"queued": 1, "superseded": 29}


def test_one_that_fails_is_undone_alone_and_fails_its_caller_alone(database: Database) -> None:
    def make(name: str, error: Exception | None) -> str:
        def act(connection: sa.Connection) -> str:
            connection.execute(apps.insert().values(name=name, created_at=0.0, settings={}))
            if error is not None:
                raise error
            return name

        return database.together(act)

    with ThreadPoolExecutor(4) as pool:
        with held(database):
            good = pool.submit(make, "one", None)
            bad = pool.submit(make, "two", UsageError("no", "two", "not this one"))
            waiting(database, 2)
            double = pool.submit(make, "one", None)
            waiting(database, 3)
        assert good.result() == "one" or double.result() == "one"
        with pytest.raises(UsageError, match="not this one"):
            bad.result()
        failed = [future for future in (good, double) if future.exception() is not None]
        with pytest.raises(StackError, match="UNIQUE"):
            failed[0].result()
    with database.reading() as connection:
        assert list(connection.execute(sa.select(apps.c.name)).scalars()) == ["one"]


def test_a_commit_that_fails_fails_all_of_them_and_stores_none(database: Database) -> None:
    def break_it(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.exec_driver_sql(
            "INSERT INTO events (build_id, number, at, stage, kind, text, data) VALUES (77, 1, 0, '', 'note', '', '{}')"
        )

    queue = BuildQueue(database)
    with ThreadPoolExecutor(3) as pool:
        with held(database):
            futures: list[Future[object]] = [pool.submit(queue.submit, push(1)), pool.submit(queue.submit, push(2))]
            futures.append(pool.submit(database.together, break_it))
            waiting(database, 3)
        assert all(isinstance(future.exception(), StackError) for future in futures)
    assert len({id(future.exception()) for future in futures}) == 3
    assert Builds(database).counts() == {}
    assert queue.submit(push(1)).duplicate is False  # it is as if they had not been sent


def test_who_is_interrupted_leaves_the_others_theirs(database: Database) -> None:
    queue = BuildQueue(database)

    def interrupted(_: sa.Connection) -> None:
        raise KeyboardInterrupt

    def ask() -> str:
        try:
            database.together(interrupted)
        except KeyboardInterrupt:
            return "interrupted"
        return "carried out"

    with ThreadPoolExecutor(2) as pool:
        with held(database):
            first = pool.submit(ask)
            waiting(database, 1)
            second = pool.submit(queue.submit, push(1))
            waiting(database, 2)
        assert first.result() == "interrupted"
        assert second.result().build_id == 1
    assert database._items == []
    assert Builds(database).counts() == {"queued": 1}


def test_superseding_costs_the_same_whether_one_waits_or_a_thousand_came_before(database: Database) -> None:
    queue = BuildQueue(database)
    for number in range(3):
        queue.submit(push(number))
    with counted(database) as few:
        queue.submit(push(1000))
    with database.writing() as connection:
        row = {"app": "shop", "source": "x", "status": "superseded", "created_at": 0.0, "spec": {}, "branch": "main"}
        connection.execute(builds.insert(), [row] * 1000)
    with counted(database) as many:
        queue.submit(push(1001))
    assert few == many
    with database.reading() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT id FROM builds WHERE app='shop' AND branch='main' AND spec IS NOT NULL"
            " AND status='queued' AND id < 9999"
        ).all()
    assert "builds_of_branch" in str(plan)  # those that ended are not looked at


def test_what_was_answered_is_there_after_a_kill(file: Path, database: Database) -> None:
    program = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from imageforge.store import BuildQueue, Database, DeliveryKey, Submission
queue = BuildQueue(Database.at(Path(sys.argv[1])))
def one(number):
    key = DeliveryKey(provider="github", delivery=str(number))
    made = Submission(app="shop", source="x", spec={}, origin="webhook", branch="main", delivery=key)
    os.write(1, b"%d\\n" % queue.submit(made).build_id)
with ThreadPoolExecutor(16) as pool:
    list(pool.map(one, range(5000)))
"""
    with subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        answered = [int(child.stdout.readline()) for _ in range(100)]
        child.kill()
        answered += [int(line) for line in child.stdout.read().split(b"\n")[:-1]]
    with closing(sqlite3.connect(file)) as reading:
        stored = {row[0] for row in reading.execute("SELECT id FROM builds")}
    assert set(answered) <= stored
