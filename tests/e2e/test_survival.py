"""What the stack survives: the death of each of its processes, of all of them, and an engine of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

import pytest

from imageforge.config import Home
from imageforge.stack.process import identify, read_pid_file
from imageforge.stack.state import running_supervisor
from tests.e2e.conftest import EXAMPLES, Forge

pytestmark = [pytest.mark.engine, pytest.mark.slow]

HELLO = EXAMPLES / "01-hello-http"


def pids(forge: Forge) -> dict[str, int]:
    """Every process of the stack by its pid file's name, the supervisor's among them."""
    found = {file.stem: read_pid_file(file) for file in (forge.home / "run").glob("*.pid")}
    return {name: identity.pid for name, identity in found.items() if identity}


def wait_for_answer(forge: Forge, app: str, seconds: float = 30) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, body = forge.get(app)
            if status == 200:
                return body
        except OSError:
            pass
        assert time.monotonic() < deadline, f"{app} did not answer"
        time.sleep(0.05)


def wait_replaced(forge: Forge, name: str, before: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while pids(forge).get(name, before) == before:
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.05)


@pytest.mark.soak
def test_each_service_is_replaced_and_replicas_are_kept(own_forge: Forge) -> None:
    own_forge.ok("deploy", HELLO)
    replicas = {row["replica"] for row in own_forge.replicas("hello")}
    for name in ("registry", "redis", "controller", "balancer"):
        before = pids(own_forge)[name]
        os.kill(before, signal.SIGKILL)
        wait_replaced(own_forge, name, before)
        own_forge.ok("up")
        wait_for_answer(own_forge, "hello")
        assert {row["replica"] for row in own_forge.replicas("hello") if row["ready"]} == replicas, name


def test_a_killed_supervisor_stops_no_application_and_the_next_adopts(own_forge: Forge) -> None:
    own_forge.ok("deploy", HELLO)
    before = pids(own_forge)
    os.kill(before["supervisor"], signal.SIGKILL)
    assert own_forge.get("hello")[0] == 200
    outcome = own_forge.run("status")
    assert (outcome.code, "error[stack-not-running]" in outcome.err) == (4, True)
    own_forge.ok("up")
    after = pids(own_forge)
    assert after.pop("supervisor") != before.pop("supervisor")
    assert after == before


def test_after_a_reboot_one_up_serves_the_same_release_again(own_forge: Forge) -> None:
    own_forge.ok("deploy", HELLO)
    release = own_forge.ok("releases", "hello", "-o", "json").json[0]["image"]
    kill_everything(own_forge)
    with pytest.raises(OSError):
        own_forge.get("hello")
    own_forge.ok("up")
    assert wait_for_answer(own_forge, "hello").startswith("hello from")
    rows = own_forge.replicas("hello")
    assert {row["image"] for row in rows} == {release}


@pytest.mark.soak
def test_down_stops_everything_and_up_brings_the_app_back(own_forge: Forge) -> None:
    own_forge.ok("deploy", HELLO)
    running = [identify(pid) for pid in pids(own_forge).values()]
    own_forge.ok("down")
    assert not any(identity.alive for identity in running if identity)
    own_forge.ok("up")
    wait_for_answer(own_forge, "hello")
    assert "nothing" not in own_forge.ok("down").err
    assert "nothing was running" in own_forge.ok("down").err


def kill_everything(forge: Forge) -> None:
    """What a power cut does to the stack and to the replicas."""
    home = Home(forge.home)
    deadline = time.monotonic() + 30
    # The supervisor first: what it would start while the others end might not be noted yet when its turn comes.
    supervisor = running_supervisor(home)
    assert supervisor is not None
    ended = os.pidfd_open(supervisor.pid)
    signal.pidfd_send_signal(ended, signal.SIGKILL)
    assert select.select([ended], [], [], 30)[0]
    os.close(ended)
    while left := [found for file in home.run.glob("*.pid") if (found := read_pid_file(file))]:
        assert time.monotonic() < deadline, left
        for identity in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, signal.SIGKILL)
        time.sleep(0.02)
