"""What the supervisor says of itself: one JSON file, written whole at each change, read by everybody else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

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
    """The stack: its engine's endpoint and where that came from, and its services in the order they start; which
    edition the supervisor is of (empty: of before there were any), and whether somebody, such as systemd, starts the
    next one when it ends."""

    engine: str
    engine_origin: str
    services: tuple[ServiceReport, ...] = field(default=())
    edition: str = ""
    foreground: bool = False

    @property
    def ready(self) -> bool:
        """Whether every service answers."""
        return all(service.state is ServiceState.READY for service in self.services)


_FIELDS = frozenset(item.name for item in fields(ServiceReport))


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
        return StackReport(
            engine=raw["engine"],
            engine_origin=raw["engine_origin"],
            services=tuple(_service(row) for row in raw["services"]),
            edition=str(raw.get("edition", "")),
            foreground=bool(raw.get("foreground", False)),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _service(row: Mapping[str, Any]) -> ServiceReport:
    """What a newer supervisor says beyond this is for newer readers."""
    known = {name: value for name, value in row.items() if name in _FIELDS}
    return ServiceReport(**{**known, "state": ServiceState(row["state"])})


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
