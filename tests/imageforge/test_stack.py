"""The supervisor with real processes: start in order, restart, adopt, stop; ports and pid files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imageforge.config import Home
from imageforge.stack.ports import holder, unbindable
from imageforge.stack.private_engine import route_network
from imageforge.stack.process import identify, read_pid_file, stop, wait_end, write_pid_file
from imageforge.stack.service import Service, ServiceState, restart_delay
from imageforge.stack.state import read_report
from imageforge.stack.supervisor import Supervisor

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "h")
    made.prepare()
    return made


def service(home: Home, name: str, argv: tuple[str, ...] = SLEEPER, **changes: object) -> Service:
    values: dict[str, object] = {
        "name": name,
        "argv": argv,
        "address": "none",
        "log": home.log / f"{name}.log",
        "pid_file": home.run / f"{name}.pid",
        "ready": lambda: None,
        "stop_seconds": 5,
    }
    return Service(**{**values, **changes})  # type: ignore[arg-type]


class Running:
    """A supervisor in a thread, and what it announced."""

    def __init__(self, home: Home, *services: Service) -> None:
        self.announced: list[str] = []
        self.failures: list[str] = []
        self.supervisor = Supervisor(home, services, engine="e", engine_origin="o")
        self.thread = threading.Thread(
            target=self.supervisor.run,
            kwargs={"announce": self.announced.append, "first_failure": self.failures.append},
        )
        self.thread.start()

    def leave(self) -> None:
        """End the loop as a kill would: nothing is stopped."""
        self.supervisor.ask_to_stop()
        self.thread.join(10)

    def end(self) -> None:
        self.leave()
        self.supervisor.stop_all()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until something that no event tells of is so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_services_start_when_what_they_need_is_ready(home: Home) -> None:
    gate = home.run / "gate"
    first = service(home, "first", ready=lambda: None if gate.exists() else "no gate")
    running = Running(home, service(home, "second", needs=("first",)), first)
    try:
        wait_for(first.pid_file.exists)
        assert not (home.run / "second.pid").exists()
        gate.touch()
        wait_for(lambda: len(running.announced) == 2)
        assert running.announced == ["first", "second"]
    finally:
        running.end()


def test_a_service_that_dies_is_started_again_at_once_and_the_stop_is_complete(home: Home) -> None:
    running = Running(home, service(home, "one"))
    try:
        wait_for(lambda: running.announced)
        before = read_pid_file(home.run / "one.pid")
        assert before is not None
        os.kill(before.pid, signal.SIGKILL)
        wait_for(lambda: (now := read_pid_file(home.run / "one.pid")) and now.pid != before.pid)
        report = read_report(home)
        assert report is not None
        assert report.services[0].restarts == 1
    finally:
        running.end()
    assert read_pid_file(home.run / "one.pid") is None
    report = read_report(home)
    assert report is not None
    assert report.services[0].state is ServiceState.STOPPED


def test_a_new_supervisor_adopts_what_the_last_one_left_running(home: Home) -> None:
    first = Running(home, service(home, "one"))
    wait_for(lambda: first.announced)
    pid = read_pid_file(home.run / "one.pid")
    first.leave()
    second = Running(home, service(home, "one"))
    try:
        wait_for(lambda: second.announced)
        assert read_pid_file(home.run / "one.pid") == pid
    finally:
        second.end()
    assert pid is not None
    assert wait_end(pid, 5)


def test_a_service_that_cannot_start_is_reported_with_its_last_words(home: Home) -> None:
    argv = (sys.executable, "-c", "import sys; sys.exit('the port is mine')")
    running = Running(home, service(home, "one", argv, ready=lambda: "never"))
    try:
        wait_for(lambda: running.failures)
        assert running.failures[0] == "one: ended; its log ends: the port is mine"
    finally:
        running.end()


def test_delays_of_restarts_double_to_half_a_minute() -> None:
    assert [restart_delay(n) for n in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_a_pid_file_of_another_boot_or_process_is_stale(tmp_path: Path) -> None:
    child = subprocess.Popen(SLEEPER)
    identity = identify(child.pid)
    assert identity is not None
    file = tmp_path / "x.pid"
    write_pid_file(file, identity)
    assert read_pid_file(file) == identity
    file.write_text(file.read_text().replace(identity.boot, "another-boot"))
    assert read_pid_file(file) is None
    write_pid_file(file, identity)
    stop(identity, seconds=5)
    child.wait()
    assert read_pid_file(file) is None


def test_who_holds_a_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        found = holder("127.0.0.1", port)
        assert found is not None
        assert found.pid == os.getpid()
    assert holder("127.0.0.1", port) is None


def test_an_address_of_another_machine_is_told_from_a_taken_port(free_port: int) -> None:
    assert unbindable("192.0.2.1", 443) == "this machine has no such address"
    with socket.create_server(("127.0.0.1", free_port)):
        assert unbindable("127.0.0.1", free_port) is None


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    assert str(route_network("0000D30A", "0000FFFF")) == "10.211.0.0/16"
    assert route_network("00000000", "00000000").prefixlen == 0
