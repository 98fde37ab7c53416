"""A command measured from outside: seconds, processor, peak memory, bytes read and written; its engine's share too."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processor import tree

LAUNCHER = Path(__file__).with_name("launcher.py")
PEER = struct.Struct("3i")
"""What SO_PEERCRED gives: process, user, group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a command took. `seconds` by the clock; `processor` seconds of the command and the engine; `memory` is the
    most bytes that the command alone held at once; `read` are bytes that read calls gave both, from the page cache or
    a socket as well; `written` what both wrote to files."""

    seconds: float
    processor: float
    memory: int
    read: int
    written: int

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(
            seconds=self.seconds + other.seconds,
            processor=self.processor + other.processor,
            memory=max(self.memory, other.memory),
            read=self.read + other.read,
            written=self.written + other.written,
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures commands that have an engine work for them; `daemon` is its process, None where it is unknown."""

    daemon: int | None

    @classmethod
    def of_engine(cls, host: str) -> Meter:
        """The engine of a socket on this machine: whoever listens there."""
        if not host.startswith("unix://"):
            return cls(None)
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(host.removeprefix("unix://"))
            pid, _, _ = PEER.unpack(asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        known = pid > 1 and Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
        return cls(pid if known else None)

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> Cost:
        """A command to its end, which must be a good one. Raises AssertionError with the last of what it said."""
        daemons = tree(self.daemon) if self.daemon else []
        before = [_spent(pid) for pid in daemons]
        with tempfile.NamedTemporaryFile("r") as result:
            launch = [sys.executable, "-I", "-S", str(LAUNCHER), result.name, *command]
            done = subprocess.run(launch, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            said = (done.stdout + done.stderr)[-4000:].decode(errors="replace")
            assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{said}"
            own = Cost(**json.load(result))
        for pid, (processor, read, written) in zip(daemons, before, strict=True):
            now = _spent(pid)
            own += Cost(seconds=0, processor=now[0] - processor, memory=0, read=now[1] - read, written=now[2] - written)
        return own


def _spent(pid: int) -> tuple[float, int, int]:
    """Processor seconds of a process and of those it has waited for; bytes read and written likewise."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    found = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    processor = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return processor, int(found["rchar"]), int(found["write_bytes"])
