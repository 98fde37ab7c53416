"""The file of a backup: what was written is what is read, and nothing else is read at all."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageforge.backup.bundle import FORMAT, HEAD, Bundle, Head, Writer
from imageforge.backup.restore import STAGING, _move, restore
from imageforge.backup.snapshot import copy_database
from imageforge.config import Home
from imageforge.errors import UsageError

HEADER = Head(version="0.1", instance="0123abcd", created_at=1_700_000_000.0, keys=False)
BLOB = "images/" + "a" * 64


def write(file: Path, members: dict[str, bytes], head: Head = HEADER) -> Path:
    with file.open("wb") as out:
        writer = Writer(out, head)
        for name, data in members.items():
            writer.add(name, data)
        writer.finish()
    return file


def tar(file: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(file, "w") as made:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return file


def head(**more: object) -> bytes:
    return json.dumps(
        {"version": "1", "instance": "0123abcd", "created_at": 1.0, "keys": False, "format": 1} | more
    ).encode()


@settings(max_examples=30, deadline=None)
@given(store=st.binary(max_size=5000), blob=st.binary(max_size=5000))
def test_what_was_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, store: bytes, blob: bytes) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    file = write(folder / "b.tar", {"store.sqlite": store, BLOB: blob})
    bundle = Bundle.verify(file)
    assert bundle.head == HEADER
    assert dict(bundle.names) == {"store.sqlite": len(store), BLOB: len(blob)}
    bundle.extract(folder / "out")
    assert (folder / "out" / "store.sqlite").read_bytes() == store
    assert (folder / "out" / BLOB).read_bytes() == blob
    assert ((folder / "out" / BLOB).stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize(
    "members",
    [
        {"../outside": b"out", "store.sqlite": b"s"},
        {"/tmp/outside": b"out", "store.sqlite": b"s"},
        {"settings.toml": b"x = 1", "store.sqlite": b"s"},
        {"store.sqlite": b"t"},
        {},
    ],
    ids=["leads-out", "absolute", "new-name", "other-bytes", "gone"],
)
def test_a_bundle_altered_since_it_was_verified_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    file = write(tmp_path / "b.tar", {"store.sqlite": b"s"})
    bundle = Bundle.verify(file)
    tar(file, [(HEAD, head()), *members.items()])
    folder = tmp_path / "into" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        bundle.extract(folder)
    assert caught.value.code == "backup-damaged"
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar", "into"}
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["folder"]
    assert not (folder / "settings.toml").exists()


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path / "b.tar", {"store.sqlite": b"s" * 700, BLOB: b"b" * 700})
    whole = file.read_bytes()
    end = whole.rstrip(b"\0")
    for length in range(0, len(end), 97):
        file.write_bytes(whole[:length])
        with pytest.raises(UsageError) as caught:
            Bundle.verify(file)
        assert caught.value.code in ("backup-damaged", "backup-unreadable"), length
    marks = [whole.index(b"s" * 700) + 350, whole.index(b"b" * 700) + 5, whole.index(b'"instance"') + 13]
    for place in marks:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UsageError):
            Bundle.verify(file)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([], "backup-unreadable"),
        ([("store.sqlite", b"x")], "backup-unreadable"),
        ([(HEAD, b"{}")], "backup-unreadable"),
        ([(HEAD, b"no json")], "backup-unreadable"),
        ([(HEAD, head(instance="../../etc"))], "backup-unreadable"),
        ([(HEAD, head(format=FORMAT + 1))], "backup-too-new"),
        ([(HEAD, head())], "backup-damaged"),
        ([(HEAD, head()), ("../../etc/passwd", b"x")], "backup-damaged"),
        ([(HEAD, head()), ("/etc/passwd", b"x")], "backup-damaged"),
        ([(HEAD, head()), ("images/../../x", b"x")], "backup-damaged"),
        ([(HEAD, head()), ("git/x/y.bundle", b"x")], "backup-damaged"),
        ([(HEAD, head()), ("store.sqlite", b"x"), ("store.sqlite", b"y")], "backup-damaged"),
        ([(HEAD, head()), ("index.json", b"{}")], "backup-damaged"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, members: list[tuple[str, bytes]], code: str) -> None:
    file = tar(tmp_path / "b.tar", members)
    with pytest.raises(UsageError) as caught:
        Bundle.verify(file)
    assert caught.value.code == code
    home = Home(tmp_path / "home")
    with pytest.raises(UsageError):
        restore(home, file)
    assert not home.path.exists()


def test_a_link_in_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    with tarfile.open(file, "w") as made:
        member = tarfile.TarInfo(HEAD)
        member.size = len(head())
        made.addfile(member, io.BytesIO(head()))
        link = tarfile.TarInfo("store.sqlite")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    with pytest.raises(UsageError) as caught:
        Bundle.verify(file)
    assert caught.value.code == "backup-damaged"


@pytest.mark.parametrize("text", [b"", b"not a tar at all", b"\x1f\x8b\x08junk"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "f").write_bytes(text)
    with pytest.raises(UsageError) as caught:
        Bundle.verify(tmp_path / "f")
    assert caught.value.code == "backup-unreadable"
    with pytest.raises(UsageError):
        Bundle.verify(tmp_path / "not there")


def test_a_home_that_holds_apps_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.store.write_bytes(b"something")
    with pytest.raises(UsageError) as caught:
        restore(home, write(tmp_path / "b.tar", {}))
    assert caught.value.code == "home-not-empty"
    assert home.store.read_bytes() == b"something"


def test_a_restore_that_was_killed_at_its_end_can_be_done_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    (home.state / STAGING).mkdir()
    home.runtime_store.write_bytes(b"put in place; the store, which comes last, was not")
    with pytest.raises(UsageError) as caught:
        restore(home, tmp_path / "not there")
    assert caught.value.code == "backup-unreadable", "the home was let through"


def test_a_restore_that_fails_at_its_end_leaves_nothing_that_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    staging = home.state / STAGING
    staging.mkdir()
    for name in ("runtime.sqlite", "store.sqlite"):
        (staging / name).write_bytes(b"x")
    (home.store / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        _move(staging, home)
    assert not home.runtime_store.exists()


def test_a_database_is_copied_as_it_is_at_one_moment(tmp_path: Path) -> None:
    source = tmp_path / "s.sqlite"
    with sqlite3.connect(source) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")  # and not committed yet
        copy_database(source, tmp_path / "copy.sqlite")
        writer.commit()
    writer.close()
    with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
        assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]
    copy.close()
