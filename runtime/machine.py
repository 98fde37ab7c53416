"""The machine that the replicas share, as the engine tells of it, and what it allows them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from runtime.engine import Engine
from runtime.resources import Machine

KEPT_SECONDS = 60.0
"""A machine seldom changes, and the engine takes a while to tell."""
CAP_SYS_RESOURCE = 24
"""The bit of the capability to lower an oom_score_adj below 0 (linux/capability.h)."""
LOWEST = -1000
_CREDENTIALS = struct.Struct("3i")


class Host:
    """For many threads. `labels` are those of the settings, beside the ones that every node has; `address` is where
    its ports are for others."""

    def __init__(self, engine: Engine, labels: Mapping[str, str], address: str = "127.0.0.1") -> None:
        self.address = address
        self._engine = engine
        self._labels = labels
        self._lock = threading.Lock()
        self._known: Machine | None = None
        self._known_at = 0.0
        self._lowest: int | None = None

    def machine(self) -> Machine:
        """Its size and labels. Raises EngineError."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known_at > KEPT_SECONDS:
                found = self._engine.machine()
                self._known = replace(found, labels={**found.labels, **self._labels})
                self._known_at = time.monotonic()
            return self._known

    @property
    def lowest_oom_score_adj(self) -> int:
        """That which the engine may give a container. A container that is to have a lower one does not start."""
        with self._lock:
            if self._lowest is None:
                self._lowest = LOWEST if may_lower(self._engine.host) else 0
            return self._lowest


def may_lower(engine: str) -> bool:
    """Whether the process at the other end of the engine's socket has CAP_SYS_RESOURCE: not every root has it. False
    where that cannot be seen, as of an engine elsewhere."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{peer(engine)}/status").read_text().splitlines()
        effective = int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
        return bool(effective >> CAP_SYS_RESOURCE & 1)
    return False


def peer(engine: str) -> int:
    """The process at the other end of the engine's socket: the engine, or who listens for it. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(engine.removeprefix("unix://"))
        said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(said)[0]
        return pid
