"""What the supervisor says of itself: one JSON file, written whole at each change, read by everybody else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from imageforge.config import Home
from imageforge.stack.process import ProcessIdentity, read_pid_file
from imageforge.stack.service import ServiceState


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceReport:
    """One service as the supervisor sees it. `since` is Unix seconds of the last change of state."""

    name: str
    state: ServiceState
    address: str
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackReport:
    """The stack: its engine's endpoint and where that came from, and its services in the order they start."""

    engine: str
    engine_origin: str
    services: tuple[ServiceReport, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether every service answers."""
        return all(service.state is ServiceState.READY for service in self.services)


def report_file(home: Home) -> Path:
    """Where the report lies."""
    return home.run / "stack.json"


def supervisor_pid_file(home: Home) -> Path:
    """The supervisor's pid file."""
    return home.run / "supervisor.pid"


def running_supervisor(home: Home) -> ProcessIdentity | None:
    """The supervisor of this home, if one runs."""
    return read_pid_file(supervisor_pid_file(home))


def write_report(home: Home, report: StackReport) -> None:
    """Publish; readers see the old file or the new one."""
    file = report_file(home)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(report)))
    temporary.replace(file)


def read_report(home: Home) -> StackReport | None:
    """The last report, whether or not its supervisor still runs; None when there never was one."""
    try:
        raw = json.loads(report_file(home).read_text())
        services = tuple(ServiceReport(**{**row, "state": ServiceState(row["state"])}) for row in raw["services"])
        return StackReport(engine=raw["engine"], engine_origin=raw["engine_origin"], services=services)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def exclusive(file: Path) -> Iterator[TextIO | None]:
    """Hold a lock file for the length of the block; None when somebody else holds it. Released by the kernel when
    the process ends, however it ends."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield handle
