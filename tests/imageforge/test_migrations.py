"""The migrations make what the schema says, and an older store keeps its rows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from imageforge.errors import StackError
from imageforge.store import Builds, BuildStatus, Database, schema
from imageforge.store.database import HEAD
from imageforge.store.migrate import known_revisions

OF_0_1 = """
CREATE TABLE schema_version (version INTEGER PRIMARY KEY);
INSERT INTO schema_version VALUES (1);
CREATE TABLE apps (name VARCHAR(40) NOT NULL PRIMARY KEY, created_at FLOAT NOT NULL, replicas INTEGER);
CREATE TABLE builds (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, app VARCHAR(40) NOT NULL, source TEXT NOT NULL,
    status VARCHAR(16) NOT NULL,
    started_at FLOAT NOT NULL, finished_at FLOAT, reference TEXT, image_id TEXT, error JSON, owner JSON
);
CREATE INDEX ix_builds_app ON builds (app);
CREATE TABLE events (
    build_id INTEGER NOT NULL, number INTEGER NOT NULL, at FLOAT NOT NULL,
    stage VARCHAR(16) NOT NULL, kind VARCHAR(24) NOT NULL, text TEXT NOT NULL, data JSON NOT NULL,
    PRIMARY KEY (build_id, number), FOREIGN KEY(build_id) REFERENCES builds (id) ON DELETE CASCADE
);
CREATE TABLE releases (
    app VARCHAR(40) NOT NULL, number INTEGER NOT NULL, build_id INTEGER,
    reference TEXT NOT NULL, image_id TEXT NOT NULL, manifests TEXT NOT NULL, status VARCHAR(16) NOT NULL,
    created_at FLOAT NOT NULL, note TEXT NOT NULL, report JSON, PRIMARY KEY (app, number),
    FOREIGN KEY(app) REFERENCES apps (name) ON DELETE CASCADE
);
CREATE INDEX releases_by_time ON releases (app, created_at);
INSERT INTO apps VALUES ('shop', 1.0, 2);
INSERT INTO builds (app, source, status, started_at) VALUES ('shop', '.', 'succeeded', 5.0);
INSERT INTO events VALUES (1, 1, 5.0, 'lint', 'line', 'kept', '{}');
"""


def differences(database: Database) -> list[object]:
    with database.reading() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))


def test_a_new_store_is_as_the_schema_says(tmp_path: Path) -> None:
    with Database.at(tmp_path / "new.sqlite") as database:
        assert differences(database) == []
    assert max(known_revisions()) == HEAD


def test_the_steps_numbers_compare_as_text() -> None:
    assert all(len(step) == 4 and step.isdigit() for step in known_revisions())


@pytest.mark.parametrize(("oldest", "usable"), [("0007", True), (HEAD, True), ("0998", False)])
def test_a_newer_store_is_used_where_it_says_so(tmp_path: Path, oldest: str, usable: bool) -> None:
    """As by what still runs while a service is upgraded, and by the version before that is put back."""
    file = tmp_path / "newer.sqlite"
    Database.at(file).close()
    with sqlite3.connect(file) as connection:
        connection.executescript(
            f"UPDATE alembic_version SET version_num = '0999'; UPDATE compatibility SET oldest = '{oldest}';"
            "CREATE TABLE of_later (x INTEGER); ALTER TABLE builds ADD COLUMN of_later TEXT"
        )
    connection.close()
    before = file.read_bytes()
    if not usable:
        with pytest.raises(StackError) as caught:
            Database.at(file)
        assert caught.value.code == "store-too-new"
        assert file.read_bytes() == before
        return
    with Database.at(file) as database:
        number = Builds(database).start(app="shop", source=".")
        assert Builds(database).find(number)
        with database.reading() as connection:
            assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "0999"


def test_a_store_of_before_the_migrations_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(OF_0_1)
    connection.close()
    with Database.at(file) as database:
        assert differences(database) == []
        builds = Builds(database)
        found = builds.find(1)
        assert found
        assert (found.status, found.created_at, found.origin) == (BuildStatus.SUCCEEDED, 5.0, "cli")
        assert [row["text"] for row in builds.events(1)] == ["kept"]
        assert builds.start(app="shop", source=".") == 2
        with database.reading() as connection:
            assert not sa.inspect(connection).has_table("schema_version")
