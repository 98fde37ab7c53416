"""The supervisor with real processes: start in order, restart, adopt, stop; ports and pid files."""

from __future__ import annotations

import json
import os
import shutil
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
from imageforge.stack.private_engine import end_containers, route_network
from imageforge.stack.process import identify, read_edition, read_pid_file, stop, wait_end, write_pid_file
from imageforge.stack.service import Service, ServiceState, ask_for_restart, restart_delay
from imageforge.stack.state import ServiceReport, StackReport, read_report, report_file, write_report
from imageforge.stack.supervisor import Supervisor
from imageforge.stack.takeover import take_listener

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
        self.supervisor = Supervisor(home, services, engine="e", engine_origin="o", edition="new")
        self.thread = threading.Thread(
            target=self.supervisor.run,
            kwargs={"announce": self.announced.append, "first_failure": self.failures.append},
        )
        self.thread.start()

    def leave(self) -> None:
        """End the loop as a kill would: nothing is stopped."""
        self.supervisor.ask_to_stop()
        self.thread.join(30)

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


def test_a_service_that_was_asked_to_start_again_is_never_made_to_wait(home: Home) -> None:
    one = service(home, "one")
    running = Running(home, one)
    try:
        wait_for(lambda: running.announced)
        begun = time.monotonic()
        for _ in range(8):
            before = read_pid_file(one.pid_file)
            ask_for_restart(one)
            wait_for(lambda before=before: (now := read_pid_file(one.pid_file)) and now != before)  # type: ignore[misc]
        # Eight failures would have it wait for two minutes.
        assert time.monotonic() - begun < 60
        report = read_report(home)
        assert report is not None
        assert report.services[0].restarts == 0
        # One that dies by itself is told as before.
        before = read_pid_file(one.pid_file)
        assert before is not None
        os.kill(before.pid, signal.SIGKILL)
        wait_for(lambda: (report := read_report(home)) and report.services[0].restarts == 1)
    finally:
        running.end()
    assert list(home.run.glob("*.asked")) == []


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


def test_services_of_another_edition_are_replaced_one_after_the_other(home: Home) -> None:
    first = Running(home, *(service(home, name, edition="old") for name in ("one", "two")), service(home, "other"))
    wait_for(lambda: len(first.announced) == 3)
    before = {name: read_pid_file(home.run / f"{name}.pid") for name in ("one", "two", "other")}
    first.leave()
    gate = home.run / "gate"
    one = service(home, "one", edition="new", ready=lambda: None if gate.exists() else "no gate")
    second = Running(home, one, service(home, "two", edition="new"), service(home, "other"))
    try:
        wait_for(lambda: (now := read_pid_file(home.run / "one.pid")) and now != before["one"])
        wait_for(lambda: second.announced == ["other"])
        assert read_pid_file(home.run / "two.pid") == before["two"]
        report = read_report(home)
        assert report is not None
        assert (report.edition, report.ready) == ("new", False)
        gate.touch()
        wait_for(lambda: len(second.announced) == 3)
        assert second.announced == ["other", "one", "two"]
        after = {name: read_pid_file(home.run / f"{name}.pid") for name in before}
        assert after["other"] == before["other"]
        assert after["two"] != before["two"]
        assert [read_edition(home.run / f"{name}.pid") for name in before] == ["new", "new", ""]
        report = read_report(home)
        assert report is not None
        assert [row.restarts for row in report.services] == [0, 0, 0]
        assert second.failures == []
    finally:
        second.end()


def test_one_that_does_not_start_costs_none_that_was_replaced_before_it(home: Home) -> None:
    first = Running(home, *(service(home, name, edition="old") for name in ("api", "worker")))
    wait_for(lambda: len(first.announced) == 2)
    first.leave()
    ends = (sys.executable, "-c", "raise SystemExit('broken')")
    broken = service(home, "worker", ends, edition="new", ready=lambda: "not yet")
    second = Running(home, service(home, "api", edition="new"), broken)
    try:
        wait_for(lambda: second.failures)
        assert second.supervisor.adopting
        assert second.announced == ["api"]
        api = read_pid_file(home.run / "api.pid")
        assert api is not None
        assert api.alive
        assert read_edition(home.run / "api.pid") == "new"
    finally:
        second.end()


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def test_one_of_another_edition_that_does_not_end_is_killed(home: Home) -> None:
    deaf = service(home, "one", (sys.executable, "-c", STUBBORN), edition="old")
    first = Running(home, deaf)
    wait_for(lambda: deaf.log.exists() and "deaf" in deaf.log.read_text())
    before = read_pid_file(deaf.pid_file)
    first.leave()
    second = Running(home, service(home, "one", edition="new", stop_seconds=0.2))
    try:
        wait_for(lambda: second.announced)
        assert before is not None
        assert not before.alive
    finally:
        second.end()


def test_a_socket_is_taken_over_and_refuses_nobody_meanwhile(free_port: int) -> None:
    listens = f"s = socket.create_server(('127.0.0.1', {free_port})); print(1, flush=True)"
    program = f"import socket, time; {listens}; time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert take_listener(child.pid, "127.0.0.1", free_port + 1) is None
        taken = take_listener(child.pid, "127.0.0.1", free_port)
        child.kill()
        child.wait()
        assert taken is not None
        with taken, socket.create_connection(("127.0.0.1", free_port), timeout=5) as caller:
            connection, address = taken.accept()
            connection.close()
            assert address == caller.getsockname()
    assert take_listener(child.pid, "127.0.0.1", free_port) is None


def test_a_report_of_a_newer_supervisor_is_read(home: Home) -> None:
    report = StackReport(
        engine="e",
        engine_origin="o",
        services=(ServiceReport(name="one", state=ServiceState.READY, address="-"),),
        edition="0.1.0+abc",
    )
    write_report(home, report)
    raw = json.loads(report_file(home).read_text())
    raw["zone"] = raw["services"][0]["zone"] = 1
    report_file(home).write_text(json.dumps(raw))
    assert read_report(home) == report


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


def test_a_container_that_a_killed_engine_lost_sight_of_is_ended_and_no_other_homes(home: Home, tmp_path: Path) -> None:
    shim = tmp_path / "containerd-shim-runc-v2"
    shutil.copy("/bin/sh", shim)
    script = "sleep 600 & echo $!; wait"
    started = [
        subprocess.Popen([shim, "-c", script, "shim", "-address", f"{place}/run/c.sock"], stdout=subprocess.PIPE)
        for place in (home.path, f"{home.path}-other")
    ]
    try:
        outputs = [process.stdout for process in started]
        children = [int(output.readline()) for output in outputs if output]
        end_containers(home)
        assert started[0].wait(30) == -signal.SIGKILL
        watched = identify(children[0])
        assert watched is None or wait_end(watched, 10)
        assert started[1].poll() is None
        assert identify(children[1]) is not None
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        for child in children[1:]:
            os.kill(child, signal.SIGKILL)
