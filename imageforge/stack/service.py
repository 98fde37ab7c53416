"""What a supervised daemon is: how it is started, when it is ready, how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from imageforge.stack.process import ProcessIdentity, last_identity, read_pid_file, stop, write_pid_file


class ServiceState(StrEnum):
    """Where a service stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backing off"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One daemon.

    `ready` gives None once it answers, else what is amiss; it is asked often and must not block for long. `prepare`
    runs before each start: configuration, stale files; `clean` after an orderly end. `needs` are the services that must
    be ready before. `edition` is that of our own programs: one that runs in another edition is replaced by the next
    supervisor; `listens` is the address and port whose socket the new one then has of the old one.
    """

    name: str
    argv: tuple[str, ...]
    address: str
    log: Path
    pid_file: Path
    ready: Callable[[], str | None]
    prepare: Callable[[], None] = lambda: None
    clean: Callable[[], None] = lambda: None
    environ: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    edition: str = ""
    listens: tuple[str, int] | None = None
    ready_seconds: float = 30
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15


def restart_delay(failures: int) -> float:
    """Seconds until the next start after so many failures in a row: at once, then 1, 2, 4 … 30."""
    return 0.0 if failures <= 1 else min(30.0, 2.0 ** (failures - 2))


def ask_for_restart(service: Service) -> None:
    """End a service that the supervisor is to start again as it is to be now: no failure of the service. Returns once
    it has ended."""
    identity = read_pid_file(service.pid_file)
    if identity is not None:
        write_pid_file(_asked(service), identity)
        stop(identity, first=service.stop_signal, seconds=service.stop_seconds)


def was_asked(service: Service, identity: ProcessIdentity) -> bool:
    """Whether that process of the service, which has ended, was ended by `ask_for_restart`; told once."""
    asked = _asked(service)
    same = last_identity(asked) == identity
    asked.unlink(missing_ok=True)
    return same


def _asked(service: Service) -> Path:
    return service.pid_file.with_suffix(".asked")


def stop_service(service: Service) -> None:
    """End a service in an orderly way, and let it clean up behind itself."""
    identity = read_pid_file(service.pid_file)
    if identity:
        stop(identity, first=service.stop_signal, seconds=service.stop_seconds)
    service.pid_file.unlink(missing_ok=True)
    _asked(service).unlink(missing_ok=True)
    service.clean()
