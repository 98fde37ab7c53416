"""Start the stack, or find it running; stop it; remove all it ever made."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.errors import StackError
from imageforge.stack import engine_choice
from imageforge.stack.catalog import python_environment, services
from imageforge.stack.edition import edition
from imageforge.stack.listeners import listeners, refuse_taken
from imageforge.stack.process import ProcessIdentity, read_pid_file, stop
from imageforge.stack.service import Service, stop_service
from imageforge.stack.state import StackReport, read_report, report_file, running_supervisor
from imageforge.store import Database

LEAVE_SECONDS = 30.0
"""How long a supervisor may take to leave: it may be stopping a service at that moment."""
NEXT_SECONDS = 15.0
"""How long systemd may take to start the next supervisor; our unit's RestartSec is 2."""
START_SECONDS = 120.0
"""How long the whole stack may take; the engine alone may take a minute on a slow disk."""
STOP_SECONDS = 120.0
"""How long an orderly end may take: every replica has its grace period."""


def ensure_up(
    home: Home, settings: Settings, *, upgrade: bool = False, on_line: Callable[[str], None] = lambda _: None
) -> StackReport:
    """The running stack of this home, started if need be. Two callers at once start it once.

    With `upgrade` the services of another edition of ours are replaced by those of this one, one after the other, while
    engine, registry, Redis, balancer and the applications run on. `on_line` hears of each service that became ready.
    Raises StackError (`port-taken`, `program-missing`, `stack-start-failed`, `not-upgraded`; `store-too-new`, before
    anything was replaced) or builders' EngineError.
    """
    home.prepare()
    with _one_at_a_time(home):
        report, supervisor = read_report(home), running_supervisor(home)
        other = supervisor is not None and upgrade and (report is None or report.edition != edition())
        if supervisor is None or other:
            # Before anything ends: what stops the start must not stop what runs.
            choice = engine_choice.choose(home, settings)
            _check_ports(settings, services(home, settings, engine=choice.host, private=choice.private))
        if supervisor is not None and other:
            _retire(home, supervisor, comes_again=_comes_again(supervisor, report))
        if running_supervisor(home) is None:
            engine_choice.remember(home, choice)
            _launch(home, choice, on_line)
        return _wait_ready(home)


def run_foreground(home: Home, settings: Settings) -> None:
    """Become the supervisor, for systemd. Does not return."""
    home.prepare()
    if running_supervisor(home):
        raise StackError("already-running", str(home.path), "a supervisor runs in this home", hint="imageforge down")
    Database.at(home.store).close()  # one that is too new ends this, and nothing that runs
    choice = engine_choice.choose(home, settings)
    _check_ports(settings, services(home, settings, engine=choice.host, private=choice.private))
    engine_choice.remember(home, choice)
    tell = os.dup(sys.stdout.fileno())
    os.set_inheritable(tell, True)
    command = [*_command(home, choice, tell), "--foreground"]
    os.execve(command[0], command, {**os.environ, **python_environment()})  # noqa: S606 - our own program


def down(home: Home, settings: Settings, *, on_line: Callable[[str], None] = lambda _: None) -> bool:
    """Stop what `up` started, applications first; the next `up` brings them back. False when nothing ran."""
    if not home.exists:
        return False
    with _one_at_a_time(home):
        report = read_report(home)
        supervisor = running_supervisor(home)
        if supervisor:
            stop(supervisor, seconds=STOP_SECONDS)
        # What a supervisor that was killed, now or before, left running.
        leftovers = _leftover_services(home, settings, report)
        if report is None or (supervisor is None and not leftovers):
            report_file(home).unlink(missing_ok=True)
            return False
        for service in reversed(leftovers):
            stop_service(service)
        for stopped in report.services:
            on_line(f"{stopped.name} stopped")
        report_file(home).unlink(missing_ok=True)
        return True


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    with (home.run / "up.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _retire(home: Home, supervisor: ProcessIdentity, *, comes_again: bool) -> None:
    """End the supervisor of another edition, and nothing else. Where somebody else starts the next one, wait for it."""
    # Before anything ends: a store that this edition cannot use stops the upgrade, and not the service.
    Database.at(home.store).close()
    # One of before there was this signal dies of it, which leaves its services running as well.
    stop(supervisor, first=signal.SIGUSR1, seconds=LEAVE_SECONDS)
    deadline = time.monotonic() + NEXT_SECONDS
    while comes_again and time.monotonic() < deadline:
        if running_supervisor(home):
            report = read_report(home)
            if report and report.edition == edition():
                return
        time.sleep(0.05)
    if running_supervisor(home):
        raise StackError(
            "not-upgraded",
            str(home.path),
            "whoever keeps the supervisor running started one of another version again",
            hint="upgrade the imageforge that the service unit's ExecStart names, then `imageforge up`",
            kept="everything runs on",
        )


def _comes_again(supervisor: ProcessIdentity, report: StackReport | None) -> bool:
    """Whether somebody starts the next supervisor. One of before the report said so is asked by its environment, in
    which systemd names each start of a unit."""
    if report is not None and report.edition:
        return report.foreground
    try:
        return b"INVOCATION_ID=" in Path(f"/proc/{supervisor.pid}/environ").read_bytes()
    except OSError:
        return False


def _check_ports(settings: Settings, chosen: tuple[Service, ...]) -> None:
    adopted = {service.name for service in chosen if read_pid_file(service.pid_file)}
    refuse_taken((one for one in listeners(settings) if one.service not in adopted), settings)


def _command(home: Home, choice: engine_choice.EngineChoice, tell: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "imageforge.stack.supervise",
        *("--home", str(home.path), "--engine", choice.host, "--origin", choice.origin, "--tell", str(tell)),
        *(["--private"] if choice.private else []),
    ]


def _launch(home: Home, choice: engine_choice.EngineChoice, on_line: Callable[[str], None]) -> None:
    read_end, write_end = os.pipe()
    with (home.log / "supervisor.log").open("ab") as output, os.fdopen(read_end) as told:
        child = subprocess.Popen(
            _command(home, choice, write_end),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, **python_environment()},
            start_new_session=True,
            pass_fds=(write_end,),
        )
        os.close(write_end)
        for line in told:
            word, _, rest = line.strip().partition(" ")
            if word == "up":
                on_line(rest)
            elif word == "failed":
                child.wait(timeout=90)
                name, _, reason = rest.partition(": ")
                raise StackError(
                    "stack-start-failed",
                    name,
                    reason or rest,
                    hint=_log_hint(home),
                    kept="applications that run, run on",
                )
            elif word == "trouble":
                child.returncode = 0
                name, _, reason = rest.partition(": ")
                raise StackError(
                    "stack-start-failed",
                    name,
                    reason or rest,
                    hint=f"it is tried again and again: imageforge status; {_log_hint(home)}",
                    kept="what runs, runs on",
                )
            elif word == "ready":
                child.returncode = 0
                return
        child.wait(timeout=90)
        raise StackError(
            "stack-start-failed", "supervisor", "it ended before the stack was ready", hint=_log_hint(home)
        )


def _log_hint(home: Home) -> str:
    return f"the logs are in {home.log}; `imageforge doctor` checks what is needed"


def _wait_ready(home: Home) -> StackReport:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        report = read_report(home)
        if report and report.ready and running_supervisor(home):
            return report
        time.sleep(0.05)
    report = read_report(home)
    late = [service.name for service in report.services if service.state != "ready"] if report else ["supervisor"]
    raise StackError(
        "stack-not-ready", ", ".join(late), f"not ready after {START_SECONDS:.0f} s", hint="imageforge status"
    )


def _leftover_services(home: Home, settings: Settings, report: StackReport | None) -> list[Service]:
    """Services whose supervisor was killed: those that run, and those that may have left something to clean."""
    if report is None or running_supervisor(home):
        return []
    private = report.engine_origin == engine_choice.PRIVATE_ORIGIN
    chosen = services(home, settings, engine=report.engine, private=private)
    return list(chosen) if any(read_pid_file(service.pid_file) for service in chosen) else []
