"""An engine of imageforge's own, with everything in a network namespace: from nothing to a served app, through a
reboot, and back to nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imageforge.config import Home
from tests.e2e.conftest import EXAMPLES, Forge
from tests.sandbox import namespace

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private engine is for root"),
]


@dataclass
class InsideForge(Forge):
    """A home whose processes all live in one network namespace."""

    @property
    def environ(self) -> dict[str, str]:
        kept = {key: value for key, value in super().environ.items() if key != "DOCKER_HOST"}
        return {**kept, "IMAGEFORGE_ENGINE": "private", "IMAGEFORGE_ENGINE_POOL": "10.214.0.0/16"}

    def get(self, app: str, path: str = "/") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        command = ["curl", "-s", "-m", "10", "-H", f"Host: {app}.localhost", "-w", "\n%{http_code}", url]
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body


@pytest.fixture
def inside() -> Iterator[InsideForge]:
    home = Path(tempfile.mkdtemp(prefix="ifg-", dir="/var/tmp"))
    with namespace() as name:
        forge = InsideForge(home, "", prefix=("nsenter", f"--net=/run/netns/{name}"))
        try:
            yield forge
        finally:
            outcome = forge.run("down", "--purge", "--yes")
            left = processes_below(home)
            mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(home) in line]
            shutil.rmtree(home, ignore_errors=True)
    assert outcome.code == 0, outcome.err
    assert left == {}
    assert mounts == []


@pytest.mark.soak
def test_from_nothing_to_a_served_app_through_a_reboot(inside: InsideForge) -> None:
    inside.ok("up")
    status = inside.ok("status", "-o", "json").json
    assert status["engine"]["origin"] == "private engine"
    inside.ok("base", "create", "python:3.11")
    inside.ok("deploy", EXAMPLES / "01-hello-http")
    assert inside.get("hello")[1].startswith("hello from")
    release = inside.ok("releases", "hello", "-o", "json").json[0]["image"]

    # A reboot ends all of them at once. One by one, a supervisor may have started another before its turn comes.
    deadline = time.monotonic() + 20
    while left := processes_below(inside.home):
        assert time.monotonic() < deadline, left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):  # it ended with the one it was started by
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert inside.get("hello")[0] == 0

    inside.ok("up")
    deadline = time.monotonic() + 60
    while inside.get("hello")[0] != 200:
        assert time.monotonic() < deadline, inside.run("status").out
        time.sleep(0.1)
    assert {row["image"] for row in inside.replicas("hello")} == {release}


@pytest.mark.soak
def test_an_engine_that_dies_in_the_middle_of_a_build_is_named(inside: InsideForge, project: Path) -> None:
    inside.ok("up")
    inside.ok("base", "create")
    (project / "Dockerfile").write_text(
        'FROM imageforge/debian:bookworm\nRUN echo begun && sleep 60\nUSER 10001\nCMD ["true"]\n'
    )
    child = inside.start("--verbose", "build", project, "--no-push")
    assert child.stderr is not None
    seen = []
    for line in child.stderr:
        seen.append(line)
        if "begun" in line and "|" in line:
            break
    engine = Home(inside.home).run / "docker.sock"
    os.kill(owner_of(engine), signal.SIGKILL)
    err = child.communicate(timeout=60)[1]
    assert child.returncode == 4, "".join(seen) + err
    assert "error[engine-lost]" in err


def processes_below(home: Path) -> dict[int, str]:
    """Every process that has the home in its command line, and every one that such a process started."""
    found: dict[int, str] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] in "ZX":
            continue
        parents[int(entry.name)] = int(fields[1])
        if str(home) in command:
            found[int(entry.name)] = command[:100]
    changed = True
    while changed:
        more = {pid: "child" for pid, parent in parents.items() if parent in found and pid not in found}
        found.update(more)
        changed = bool(more)
    return found


def owner_of(socket: Path) -> int:
    """The dockerd of this home."""
    return next(
        pid for pid, command in processes_below(socket.parents[1]).items() if command.startswith("/usr/sbin/dockerd")
    )
