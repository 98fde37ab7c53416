"""The passwords of git remotes: those of this home go with it, and no others."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imageforge.client.git_credentials import GitCredentials
from imageforge.config import Home, Settings
from imageforge.stack.purge import inventory, purge
from imageforge.store import Database, Scope, Tokens

URL = "http://127.0.0.1:8701/git"
OTHER = "http://token:other-word@127.0.0.1%3a8701/git/other.git"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "imageforge" / "git-credentials"


def remember(file: Path, app: str, password: str) -> None:
    """As `remote add` has git keep one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    entry = f"protocol=http\nhost=127.0.0.1:8701\npath=git/{app}.git\nusername=token\npassword={password}\n\n"
    command = ["git", "credential-store", f"--file={file}", "store"]
    subprocess.run(command, input=entry, text=True, check=True)


def words(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_only_those_with_a_password_that_is_meant_go(file: Path) -> None:
    remember(file, "shop", "a/b c%")
    remember(file, "other", "other-word")
    with file.open("a") as handle:
        handle.write("what git would not read\n")
    seen: list[str] = []
    credentials = GitCredentials.of_user()
    assert credentials.count(lambda password: bool(seen.append(password)) or password == "a/b c%") == 1
    assert seen == ["other-word", "a/b c%"]
    assert len(words(file)) == 3, "counting changes nothing"
    assert credentials.forget(lambda password: password == "a/b c%") == 1
    assert words(file) == [OTHER, "what git would not read"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert credentials.forget(lambda password: password == "other-word") == 1
    assert words(file) == ["what git would not read"]


def test_an_empty_file_goes_and_a_missing_one_is_none(file: Path) -> None:
    credentials = GitCredentials.of_user()
    assert credentials.forget(lambda _: True) == 0
    assert not file.parent.exists()
    remember(file, "shop", "word")
    assert credentials.forget(lambda _: True) == 1
    assert not file.parent.exists(), "nothing else was in the folder"


def test_a_file_that_git_writes_at_the_moment_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageforge.client.git_credentials.LOCK_SECONDS", 0.1)
    remember(file, "shop", "word")
    Path(f"{file}.lock").touch()
    with pytest.raises(OSError, match="git-credentials"):
        GitCredentials.of_user().forget(lambda _: True)
    assert len(words(file)) == 1


def test_a_lock_that_git_takes_right_after_stays_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(file, "shop", "word")
    remember(file, "other", "other-word")
    lock, replace = Path(f"{file}.lock"), Path.replace

    def replaced(self: Path, target: Path) -> Path:
        after = replace(self, target)
        lock.write_text("git's")
        return after

    monkeypatch.setattr(Path, "replace", replaced)
    assert GitCredentials.of_user().forget(lambda password: password == "word") == 1
    assert lock.read_text() == "git's"


def test_a_lock_is_given_back_where_the_file_cannot_be_replaced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(file, "shop", "word")
    remember(file, "other", "other-word")

    def refused(self: Path, target: Path) -> Path:
        raise OSError(5, "no", str(target))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="no"):
        GitCredentials.of_user().forget(lambda password: password == "word")
    assert list(file.parent.iterdir()) == [file]
    assert len(words(file)) == 2


def test_a_link_stays_one_and_its_target_loses_the_password(file: Path, tmp_path: Path) -> None:
    remember(file, "shop", "word")
    remember(file, "other", "other-word")
    target = tmp_path / "dotfiles" / "credentials"
    target.parent.mkdir()
    file.rename(target)
    file.symlink_to(target)
    credentials = GitCredentials.of_user()
    assert credentials.forget(lambda password: password == "word") == 1
    assert file.is_symlink()
    assert words(target) == [OTHER]
    assert list(target.parent.iterdir()) == [target]
    Path(f"{target}.lock").touch()  # where git locks, too
    with pytest.raises(subprocess.CalledProcessError):
        remember(file, "shop", "word")
    Path(f"{target}.lock").unlink()
    assert credentials.forget(lambda _: True) == 1
    assert list(target.parent.iterdir()) == []


def test_every_other_byte_stays(file: Path) -> None:
    kept = b"http://token:other-word@host/\r\n\xff\xfe what\x0bever\x0c\r\n\xe2\x80\xa8\n\r\nlast"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"http://token:word@host/a\r\n" + kept)
    assert GitCredentials.of_user().forget(lambda password: password == "word") == 1
    assert file.read_bytes() == kept


def test_the_mode_stays(file: Path) -> None:
    remember(file, "shop", "word")
    remember(file, "other", "other-word")
    file.chmod(0o640)
    assert GitCredentials.of_user().forget(lambda password: password == "word") == 1
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(file: Path) -> None:
    remember(file, "shop", "word")
    remember(file, "other", "other-word")
    os.chown(file, 4321, 4322)
    assert GitCredentials.of_user().forget(lambda password: password == "word") == 1
    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (4321, 4322, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_whose_owner_cannot_be_kept_stays(file: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database.at(home.store) as database:
        _, mine = Tokens(database).create("git remote of shop", Scope.DEPLOY, app="shop")
    remember(file, "shop", mine)
    remember(file, "other", "other-word")
    os.chown(file, 4321, 4322)
    before = file.stat()

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    lines = list(purge(home, Settings()))
    assert f"the git credentials of this home stay in {file}: its owner and mode cannot be kept" in lines
    assert file.stat() == before
    assert list(file.parent.iterdir()) == [file]
    assert not home.state.exists()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    (made.state / "engine.json").write_text('{"private": true}')  # its images would go with its folder
    return made


def overwritten(store: Path, table: str) -> None:
    """The database opens as ever; what it is to tell of a table is not to be had."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE tbl_name = ?"
        pages = [page for (page,) in connection.execute(query, (table,))]
    with store.open("r+b") as handle:
        for page in pages:
            handle.seek((page - 1) * size)
            handle.write(b"\xa5" * size)


def test_a_purge_goes_on_where_the_store_opens_but_cannot_be_read(file: Path, home: Home) -> None:
    with Database.at(home.store) as database:
        _, mine = Tokens(database).create("git remote of shop", Scope.DEPLOY, app="shop")
    overwritten(home.store, "tokens")
    Database.at(home.store).close()
    remember(file, "shop", mine)
    line = f"which git credentials in {file} are of this home cannot be told: database disk image is malformed"
    assert line in list(inventory(home, Settings()))
    assert f"{line}; all of them stay" in list(purge(home, Settings()))
    assert len(words(file)) == 1
    assert not home.state.exists()


def test_a_purge_goes_on_where_the_store_does_not_open(file: Path, home: Home) -> None:
    home.store.write_bytes(b"no database" * 1000)
    remember(file, "shop", "word")
    line = f"which git credentials in {file} are of this home cannot be told: file is not a database"
    assert line in list(inventory(home, Settings()))
    assert f"{line}; all of them stay" in list(purge(home, Settings()))
    assert not home.state.exists()


def test_a_damaged_store_is_not_told_of_where_there_are_no_passwords(file: Path, home: Home) -> None:
    home.store.write_bytes(b"no database" * 1000)
    assert not any("git credential" in line for line in (*inventory(home, Settings()), *purge(home, Settings())))


def test_a_purge_goes_on_for_a_user_without_a_home_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("APPDATA", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    line = "whether there are git credentials of this home cannot be told: Could not determine home directory."
    assert line in list(inventory(home, Settings()))
    assert line in list(purge(home, Settings()))
    assert not home.state.exists()


def test_to_list_what_a_purge_would_take_migrates_nothing(file: Path, home: Home) -> None:
    with Database.at(home.store) as database:
        _, mine = Tokens(database).create("git remote of shop", Scope.DEPLOY, app="shop")
    with closing(sqlite3.connect(home.store)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0006'")
    remember(file, "shop", mine)
    before = list(dumped(home.store))
    assert f"1 git credential of this home in {file}" in list(inventory(home, Settings()))
    assert list(dumped(home.store)) == before


def dumped(store: Path) -> Iterator[str]:
    with closing(sqlite3.connect(store)) as connection:
        yield from connection.iterdump()


def test_a_purge_takes_those_of_its_home_and_says_so(file: Path, home: Home) -> None:
    with Database.at(home.store) as database:
        tokens = Tokens(database)
        _, mine = tokens.create("git remote of shop", Scope.DEPLOY, app="shop")
        revoked, old = tokens.create("git remote of old", Scope.DEPLOY, app="old")
        tokens.revoke(revoked.id)
    remember(file, "shop", mine)
    remember(file, "old", old)
    remember(file, "other", "other-word")
    settings = Settings()
    told = f"2 git credentials of this home in {file}"
    assert told in list(inventory(home, settings))
    lines = list(purge(home, settings))
    assert f"{told} removed" in lines
    assert words(file) == [OTHER]
    assert mine not in "".join(lines)
