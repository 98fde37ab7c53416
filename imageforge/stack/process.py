"""Processes that outlive the one that started them: pid files that a reused pid cannot fool, waiting, stopping."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessIdentity:
    """One process, of this boot, for ever: pids are reused, start times (clock ticks since boot) with them are not."""

    pid: int
    started: int
    boot: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        return self.boot == _boot() and _start_time(self.pid) == self.started


def myself() -> dict[str, Any]:
    """This process, as it can be stored; `lives` is the inverse."""
    identity = identify(os.getpid())
    assert identity is not None
    return asdict(identity)


def lives(stored: Mapping[str, Any]) -> bool:
    """Whether a process that was stored by `myself` still runs."""
    try:
        identity = ProcessIdentity(pid=int(stored["pid"]), started=int(stored["started"]), boot=str(stored["boot"]))
    except (KeyError, TypeError, ValueError):
        return False
    return identity.alive


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a running process, or None where there is none."""
    started = _start_time(pid)
    return None if started is None else ProcessIdentity(pid=pid, started=started, boot=_boot())


def write_pid_file(file: Path, identity: ProcessIdentity, *, edition: str = "") -> None:
    """Remember a process, and which edition of its program it runs. Atomic, so that a reader never sees half of it."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps({**asdict(identity), "edition": edition}))
    temporary.replace(file)


def read_pid_file(file: Path) -> ProcessIdentity | None:
    """The process that a pid file names if it still runs; None for a stale, damaged or absent file."""
    identity = last_identity(file)
    return identity if identity is not None and identity.alive else None


def last_identity(file: Path) -> ProcessIdentity | None:
    """The process that a pid file names, whether it runs or not; None for a damaged or absent file."""
    try:
        raw = json.loads(file.read_text())
        return ProcessIdentity(pid=int(raw["pid"]), started=int(raw["started"]), boot=str(raw["boot"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_edition(file: Path) -> str:
    """Which edition of its program the process of a pid file runs; empty where nothing was said of it."""
    try:
        return str(json.loads(file.read_text()).get("edition", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def wait_end(identity: ProcessIdentity, seconds: float) -> bool:
    """Wait until the process has ended; False after `seconds`. Works for processes that are not our children."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        if not identity.alive:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def stop(identity: ProcessIdentity, *, first: signal.Signals = signal.SIGTERM, seconds: float = 10) -> None:
    """Ask a process to end, and make it after `seconds`. Returns once it has ended."""
    if not identity.alive:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity.pid, first)
    if wait_end(identity, seconds):
        _reap(identity.pid)
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity.pid, signal.SIGKILL)
    wait_end(identity, seconds)
    _reap(identity.pid)


def name_of(pid: int) -> str:
    """The program's name as `ps` shows it, or ``?``."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _boot() -> str:
    return BOOT_ID.read_text().strip()


def _start_time(pid: int) -> int | None:
    """Field 22 of proc(5)'s stat; the command in field 2 may hold blanks and brackets, so cut behind the last one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
