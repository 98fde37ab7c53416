"""Run the tests with an engine: ``python -m tests.sandbox [PYTEST ARGUMENTS]``; or another module of ours, such as
``python -m tests.sandbox --run benchmarks [ARGUMENTS]``.

Where DOCKER_HOST names an engine, or one answers on the system socket, pytest runs as it is. Elsewhere, as root (or
with --private as first argument), a network namespace is made with a way out to the package mirrors, and in it a
private dockerd, the daemons under test and pytest itself: whatever ports and firewall rules they make are theirs alone.
All of it is gone afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.stack import private_engine, probes

SUBNETS = tuple(f"10.212.{number}" for number in range(77, 256))
"""One of them has the two addresses between the namespace and the host: the first that no other run beside this one
has. The private engines inside take theirs from elsewhere."""
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORWARDED = Path("/run/imageforge-tests.forwarding")
"""Whether the host forwarded packets before the first of the runs that are under way."""
INSIDE = "IMAGEFORGE_TEST_INSIDE"
SHARED = "SHARED_TEST_BASES"
"""The variable that names a folder of base images, which runs beside each other share."""
START_SECONDS = 60
NO_TESTS_COLLECTED = 5


def main(arguments: Sequence[str]) -> int:
    """Gives pytest's exit code; 4 where no engine can be had."""
    signal.signal(signal.SIGTERM, _interrupt)
    if os.environ.get(INSIDE):
        return _with_engine(arguments)
    private = list(arguments[:1]) == ["--private"]
    arguments = arguments[1:] if private else arguments
    if engine_answers() and not private:
        return _pytest(arguments, dict(os.environ))
    reason = private_engine.unavailable()
    if reason:
        sys.stderr.write(f"tests: no engine answers, and a private one cannot be started: {reason}\n")
        return 4
    with namespace() as name:
        command = ["nsenter", f"--net=/run/netns/{name}", sys.executable, "-m", "tests.sandbox", *arguments]
        return _wait(subprocess.Popen(command, env={**os.environ, INSIDE: name}))


def _with_engine(arguments: Sequence[str]) -> int:
    with engine("10.213.0.0/16") as host:
        return _pytest(arguments, {**os.environ, "DOCKER_HOST": host})


@contextlib.contextmanager
def engine(pool: str, *prefix: str) -> Iterator[str]:
    """A private dockerd with addresses of its own, started by way of `prefix`; how DOCKER_HOST spells it."""
    folder = Path(tempfile.mkdtemp(prefix="ifg-test-", dir="/var/tmp"))
    home = Home(folder)
    try:
        home.prepare()
        private_engine.prepare(home, Settings(engine_pool=pool))
        command = [*prefix, *private_engine.argv(home)]
        with (folder / "engine.log").open("wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_ready(home, daemon, folder / "engine.log")
            yield f"unix://{home.engine_socket}"
        finally:
            daemon.terminate()
            daemon.wait(30)
    finally:
        private_engine.clean(home)
        shutil.rmtree(folder)


def _wait_ready(home: Home, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while probes.engine_ok(home.engine_socket):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"tests: the private engine did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _pytest(arguments: Sequence[str], environ: dict[str, str]) -> int:
    other = list(arguments[:1]) == ["--run"]
    module, rest = (arguments[1], arguments[2:]) if other else ("pytest", arguments)
    code = _wait(subprocess.Popen([sys.executable, "-m", module, *rest], env=environ))
    return 1 if code == NO_TESTS_COLLECTED else code


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for a child; what interrupts us interrupts it, and it may clean up."""
    try:
        return child.wait()
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait(120)
        raise


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """A network namespace that reaches the outside through this host, and nothing reaches it."""
    name = f"ifg{secrets.token_hex(3)}"
    outer, inner = f"{name}o", f"{name}i"
    rules: list[list[str]] = []
    try:
        with _alone():
            _make(name, outer, inner, rules)
        yield name
    finally:
        with _alone():
            for rule in rules:
                _do("iptables", "-w", rule[0], rule[1], "-D", *rule[2:], check=False)
            _do("ip", "link", "delete", outer, check=False)
            _do("ip", "netns", "delete", name, check=False)
            if not _others() and FORWARDED.exists():
                FORWARDING.write_text(FORWARDED.read_text())
                FORWARDED.unlink()


def _make(name: str, outer: str, inner: str, rules: list[list[str]]) -> None:
    """The namespace, its way out, and in `rules` what was added to the packet filter for it."""
    taken = subprocess.run(["ip", "-4", "address"], capture_output=True, text=True, check=True).stdout
    subnet = next(subnet for subnet in SUBNETS if f"{subnet}." not in taken)
    source = f"{subnet}.0/30"
    rules += [
        ["-t", "nat", "POSTROUTING", "-s", source, "!", "-o", outer, "-j", "MASQUERADE"],
        ["-t", "filter", "FORWARD", "-i", outer, "-j", "ACCEPT"],
        ["-t", "filter", "FORWARD", "-o", outer, "-j", "ACCEPT"],
    ]
    if not _others():
        FORWARDED.write_text(FORWARDING.read_text())
    _do("ip", "netns", "add", name)
    _do("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
    _do("ip", "link", "set", inner, "netns", name)
    _do("ip", "address", "add", f"{subnet}.1/30", "dev", outer)
    _do("ip", "link", "set", outer, "mtu", str(private_engine.mtu()), "up")
    inside = ("nsenter", f"--net=/run/netns/{name}")
    _do(*inside, "ip", "link", "set", "lo", "up")
    _do(*inside, "ip", "address", "add", f"{subnet}.2/30", "dev", inner)
    _do(*inside, "ip", "link", "set", inner, "mtu", str(private_engine.mtu()), "up")
    _do(*inside, "ip", "route", "add", "default", "via", f"{subnet}.1")
    for rule in rules:
        _do("iptables", "-w", rule[0], rule[1], "-I", *rule[2:])
    FORWARDING.write_text("1")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Of several runs at once one at a time: they share the host's addresses and its forwarding."""
    with Path("/run/imageforge-tests.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _others() -> bool:
    """Whether another run has a namespace. What a killed one left counts, too: its way out may be in use."""
    return any(Path("/sys/class/net").glob("ifg*o"))


def engine_answers() -> bool:
    """Whether the tests have an engine that is there already."""
    if os.environ.get("DOCKER_HOST"):
        return True
    return probes.engine_ok(Path("/var/run/docker.sock")) is None


def _do(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"tests: `{' '.join(command)}` failed: {done.stderr.strip()}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
