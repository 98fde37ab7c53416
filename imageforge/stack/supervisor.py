"""The one process that starts the services, watches them and starts them again when they die.

It owns no application: killed, it leaves every service running, and the next one adopts them by their pid files. Of
those that it adopts it replaces the ones of another edition of ours, one after the other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imageforge.config import Home
from imageforge.errors import ForgeError
from imageforge.stack.process import ProcessIdentity, identify, read_edition, read_pid_file, stop, write_pid_file
from imageforge.stack.service import Service, ServiceState, restart_delay, stop_service, was_asked
from imageforge.stack.state import ServiceReport, StackReport, write_report
from imageforge.stack.takeover import LISTEN_VARIABLE, take_listener

log = logging.getLogger(__name__)

TICK = 0.05
"""Seconds between looks at a service that is starting."""
CALM = 600.0
"""Seconds after which a service that ran without trouble is forgiven its failures."""
LARGEST_LOG = 10 * 1024 * 1024
"""Bytes of a service's log above which the next start moves it aside, once."""


@dataclass(slots=True)
class Watched:
    """A service and where it stands; the supervisor's own, mutable. `stale`: it was adopted in another edition than
    ours, and `kill_at` is when our patience ends once it was asked to end. `listener` is the socket that it left."""

    service: Service
    state: ServiceState = ServiceState.WAITING
    identity: ProcessIdentity | None = None
    pidfd: int | None = None
    since: float = field(default_factory=time.time)
    start_at: float = 0.0
    give_up_at: float = 0.0
    failures: int = 0
    restarts: int = 0
    message: str = ""
    adopted: bool = False
    stale: bool = False
    kill_at: float | None = None
    listener: socket.socket | None = None


class Supervisor:
    """Runs until `stop` is asked for. `announce` is told each service that became ready for the first time."""

    def __init__(
        self,
        home: Home,
        services: Sequence[Service],
        *,
        engine: str,
        engine_origin: str,
        edition: str = "",
        foreground: bool = False,
    ) -> None:
        self._home = home
        self._edition = edition
        self._foreground = foreground
        self.leaving = False
        self.adopting = False
        """Whether services ran when it began: then a failure ends nothing."""
        self._engine = engine
        self._engine_origin = engine_origin
        self._watched = [Watched(service) for service in services]
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._wake_read, select.POLLIN)
        self._stopping = False

    def ask_to_stop(self, *_: object) -> None:
        """A signal handler: leave the loop at the next turn."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b".")

    def ask_to_leave(self, *_: object) -> None:
        """A signal handler: leave the loop, and every service to the next supervisor."""
        self.leaving = True
        self.ask_to_stop()

    def run(self, *, announce: Callable[[str], None], first_failure: Callable[[str], None]) -> None:
        """Adopt, start and watch until asked to stop. `first_failure` is called once, with the reason, when a service
        dies or times out before the whole stack was ready for the first time; the caller decides what to do."""
        for watched in self._watched:
            self._adopt(watched)
        announced: set[str] = set()
        failed = False
        while not self._stopping:
            self._turn()
            for watched in self._watched:
                name = watched.service.name
                if watched.state is ServiceState.READY and name not in announced:
                    announced.add(name)
                    announce(name)
                if watched.failures and not failed and len(announced) < len(self._watched):
                    failed = True
                    first_failure(f"{name}: {watched.message}")
            self._poll.poll(self._pause() * 1000)
            self._drain_wakeups()

    def stop_all(self) -> None:
        """End every service in an orderly way, last started first; applications end with their controller."""
        for watched in reversed(self._watched):
            stop_service(watched.service)
            self._forget(watched)
            self._enter(watched, ServiceState.STOPPED)

    def stop_started(self) -> None:
        """After a start that failed: end what this supervisor started, leave what it adopted, clean nothing, so that
        applications of an earlier supervisor go on running."""
        for watched in reversed(self._watched):
            if watched.identity and not watched.adopted:
                stop(watched.identity, first=watched.service.stop_signal, seconds=watched.service.stop_seconds)
                watched.service.pid_file.unlink(missing_ok=True)
            self._forget(watched)

    def _turn(self) -> None:
        now = time.monotonic()
        for watched in self._watched:
            if watched.identity and not watched.identity.alive:
                self._died(watched, now)
            if watched.stale:
                self._replace(watched, now)
                continue
            if watched.state in (ServiceState.WAITING, ServiceState.BACKOFF) and self._may_start(watched, now):
                self._start(watched, now)
            if watched.state is ServiceState.STARTING:
                self._look(watched, now)

    def _may_start(self, watched: Watched, now: float) -> bool:
        ready = {other.service.name for other in self._watched if other.state is ServiceState.READY}
        return now >= watched.start_at and set(watched.service.needs) <= ready

    def _adopt(self, watched: Watched) -> None:
        identity = read_pid_file(watched.service.pid_file)
        if identity is None:
            return
        try:
            watched.pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return
        log.info("adopted %s", watched.service.name, extra={"pid": identity.pid})
        watched.identity = identity
        watched.adopted = self.adopting = True
        watched.stale = (
            bool(watched.service.edition) and read_edition(watched.service.pid_file) != watched.service.edition
        )
        self._poll.register(watched.pidfd, select.POLLIN)
        watched.give_up_at = time.monotonic() + watched.service.ready_seconds
        self._enter(watched, ServiceState.STARTING)

    def _replace(self, watched: Watched, now: float) -> None:
        """Ask a service of another edition to end, once all before it are ready in ours; what it listened on is kept
        open meanwhile. Its death is what starts the new one."""
        assert watched.identity is not None
        if watched.kill_at is None:
            before = self._watched[: self._watched.index(watched)]
            if any(other.state is not ServiceState.READY for other in before):
                return
            log.info("replacing %s", watched.service.name, extra={"pid": watched.identity.pid})
            if watched.service.listens:
                watched.listener = take_listener(watched.identity.pid, *watched.service.listens)
            watched.kill_at = now + watched.service.stop_seconds
            self._signal(watched.identity, watched.service.stop_signal)
        elif now > watched.kill_at:
            self._signal(watched.identity, signal.SIGKILL)

    def _signal(self, identity: ProcessIdentity, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, number)

    def _start(self, watched: Watched, now: float) -> None:
        service = watched.service
        left = watched.listener
        environ = {LISTEN_VARIABLE: str(left.fileno())} if left else {}
        try:
            service.prepare()
            _rotate(service.log)
            with service.log.open("ab") as output:
                child = subprocess.Popen(
                    service.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env={**os.environ, **service.environ, **environ},
                    start_new_session=True,
                    pass_fds=(left.fileno(),) if left else (),
                )
        except (OSError, ForgeError) as error:
            self._fail(watched, now, str(error))
            return
        identity = identify(child.pid)
        if identity is None:
            child.wait()
            self._fail(watched, now, _last_words(service.log))
            return
        watched.adopted = False
        # Popen warns of a child that nobody waited for; ours are reaped in `_died`.
        child.returncode = 0
        write_pid_file(service.pid_file, identity, edition=service.edition)
        watched.identity = identity
        watched.pidfd = os.pidfd_open(child.pid)
        self._poll.register(watched.pidfd, select.POLLIN)
        watched.give_up_at = now + service.ready_seconds
        self._enter(watched, ServiceState.STARTING)

    def _look(self, watched: Watched, now: float) -> None:
        problem = watched.service.ready()
        if problem is None:
            if watched.listener:
                watched.listener.close()
                watched.listener = None
            self._enter(watched, ServiceState.READY)
        elif now > watched.give_up_at and watched.identity:
            stop(watched.identity, seconds=watched.service.stop_seconds)
            self._forget(watched)
            seconds = watched.service.ready_seconds
            self._fail(watched, now, f"not ready after {seconds:.0f} s: {problem}; {_last_words(watched.service.log)}")

    def _died(self, watched: Watched, now: float) -> None:
        assert watched.identity is not None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(watched.identity.pid, os.WNOHANG)
        if watched.state is ServiceState.READY and time.time() - watched.since > CALM:
            watched.failures = 0
        asked = was_asked(watched.service, watched.identity)
        self._forget(watched)
        if watched.stale or asked:
            watched.stale = False
            self._enter(watched, ServiceState.WAITING)
            return
        watched.restarts += 1
        self._fail(watched, now, f"ended; {_last_words(watched.service.log)}")

    def _fail(self, watched: Watched, now: float, message: str) -> None:
        watched.failures += 1
        watched.message = message
        watched.start_at = now + restart_delay(watched.failures)
        log.warning("%s: %s", watched.service.name, message)
        self._enter(watched, ServiceState.BACKOFF)

    def _forget(self, watched: Watched) -> None:
        if watched.pidfd is not None:
            self._poll.unregister(watched.pidfd)
            os.close(watched.pidfd)
        watched.pidfd = None
        watched.identity = None

    def _enter(self, watched: Watched, state: ServiceState) -> None:
        watched.state = state
        watched.since = time.time()
        write_report(self._home, self._report())

    def _report(self) -> StackReport:
        return StackReport(
            engine=self._engine,
            engine_origin=self._engine_origin,
            services=tuple(
                ServiceReport(
                    name=watched.service.name,
                    state=watched.state,
                    address=watched.service.address,
                    pid=watched.identity.pid if watched.identity else None,
                    since=watched.since,
                    restarts=watched.restarts,
                    message=watched.message if watched.state is not ServiceState.READY else "",
                )
                for watched in self._watched
            ),
            edition=self._edition,
            foreground=self._foreground,
        )

    def _pause(self) -> float:
        """Seconds until something can have changed that no descriptor tells of."""
        now = time.monotonic()
        pauses = [3600.0]
        for watched in self._watched:
            if watched.state is ServiceState.STARTING:
                pauses.append(TICK)
            elif watched.state in (ServiceState.WAITING, ServiceState.BACKOFF):
                pauses.append(max(TICK, watched.start_at - now))
        return min(pauses)

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 512)


def install_signals(supervisor: Supervisor) -> None:
    """SIGTERM and Ctrl-C end the loop; a closed terminal does not. SIGUSR1 ends it and leaves everything running."""
    signal.signal(signal.SIGTERM, supervisor.ask_to_stop)
    signal.signal(signal.SIGINT, supervisor.ask_to_stop)
    signal.signal(signal.SIGUSR1, supervisor.ask_to_leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _rotate(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size > LARGEST_LOG:
            file.replace(file.with_suffix(".log.1"))


def _last_words(file: Path) -> str:
    """The last line of a log that says anything, for a message."""
    try:
        with file.open("rb") as handle:
            handle.seek(max(0, file.stat().st_size - 4096))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    said = [line.strip() for line in lines if line.strip()]
    return f"its log ends: {said[-1][:200]}" if said else "it said nothing"
