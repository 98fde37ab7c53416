"""Ending the supervisor of another version, or not: what is decided before anything is replaced."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack import up
from imageforge.stack.edition import edition
from imageforge.stack.process import identify, write_pid_file
from imageforge.stack.state import StackReport, supervisor_pid_file, write_report
from imageforge.store import Database
from tests.imageforge.test_stack import SLEEPER, home
from tests.ports import unused_port

__all__ = ["home"]


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that could be supervisors."""
    started = [subprocess.Popen(SLEEPER) for _ in range(2)]
    yield started
    for child in started:
        child.kill()
        child.wait()


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that goes wrong must not start daemons on the machine that runs the tests."""

    def launch(*_: object) -> None:
        raise AssertionError("a supervisor was started")

    monkeypatch.setattr(up, "_launch", launch)


def free() -> Settings:
    """Settings of ports that nobody has, whatever else runs here."""
    return Settings(http_port=unused_port(), api_port=unused_port(), registry_port=unused_port())


def stand_in(home: Home, child: subprocess.Popen[bytes], *, foreground: bool = False, of: str = "old") -> None:
    """Have a process count as the running supervisor of a home."""
    identity = identify(child.pid)
    assert identity is not None
    write_report(home, StackReport(engine="unix:///e", engine_origin="o", edition=of, foreground=foreground))
    write_pid_file(supervisor_pid_file(home), identity, edition=of)


def test_a_store_of_a_newer_version_stops_the_upgrade_and_not_the_service(
    home: Home, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    stand_in(home, sleepers[0])
    Database.at(home.store).close()
    with sqlite3.connect(home.store) as store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
        store.execute("UPDATE compatibility SET oldest = '9999'")
    store.close()
    with pytest.raises(StackError) as caught:
        up.ensure_up(home, free(), upgrade=True)
    assert caught.value.code == "store-too-new"
    assert sleepers[0].poll() is None


def test_the_same_edition_is_left_alone_and_so_is_another_one_unless_asked(
    home: Home, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    stand_in(home, sleepers[0], of=edition())
    assert up.ensure_up(home, free(), upgrade=True).edition == edition()
    stand_in(home, sleepers[0], of="old")
    assert up.ensure_up(home, free()).edition == "old"
    assert sleepers[0].poll() is None


@pytest.mark.parametrize("of", ["old", "new"])
def test_whoever_starts_the_next_supervisor_is_waited_for(
    home: Home, sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(up, "NEXT_SECONDS", 2.0)
    stand_in(home, sleepers[0], foreground=True)

    def come_again() -> None:
        sleepers[0].wait()
        stand_in(home, sleepers[1], foreground=True, of=edition() if of == "new" else "old")

    systemd = threading.Thread(target=come_again)
    systemd.start()
    if of == "new":
        assert up.ensure_up(home, free(), upgrade=True).edition == edition()
    else:
        with pytest.raises(StackError) as caught:
            up.ensure_up(home, free(), upgrade=True)
        assert (caught.value.code, caught.value.kept) == ("not-upgraded", "everything runs on")
    systemd.join()
    assert sleepers[0].poll() is not None
    assert sleepers[1].poll() is None


def test_the_edition_is_the_version_and_the_source() -> None:
    code = "from imageforge.stack.edition import edition; print(edition())"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == edition()
