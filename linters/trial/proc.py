"""Processes and sockets as proc(5) tells them: texts to values, and where they are read."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

from linters.trial.model import Listener, ProcessSeen

PROC = Path("/proc")
_LISTENING = "0A"
MOST_PROCESSES = 512
LONGEST_ARGV = 4096


def read_process(pid: int, proc: Path = PROC) -> ProcessSeen | None:
    """A process that is there; None for one that has ended, a zombie too."""
    folder = proc / str(pid)
    try:
        stat = (folder / "stat").read_text(errors="replace")
        status = (folder / "status").read_text(errors="replace")
        with (folder / "cmdline").open("rb") as file:
            command = file.read(LONGEST_ARGV)
    except OSError:
        return None
    program = waiting = ""
    with contextlib.suppress(OSError):
        program = str((folder / "exe").readlink()).removesuffix(" (deleted)")
    with contextlib.suppress(OSError):
        waiting = (folder / "wchan").read_text()
    return parse_process(pid, stat, status, command, program, waiting)


def parse_process(
    pid: int, stat: str, status: str, command: bytes, program: str, waiting: str = ""
) -> ProcessSeen | None:
    """The same out of the texts. The name in stat's second field may hold blanks and brackets; `waiting` is the
    kernel's function that it sleeps in."""
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    said = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)

    def mask(*keys: str) -> int:
        found = 0
        for key in keys:
            found |= int(said.get(key, "0").strip() or "0", 16)
        return found

    argv = tuple(word.decode("utf-8", "replace") for word in command.rstrip(b"\0").split(b"\0")) if command else ()
    return ProcessSeen(
        pid=pid,
        parent=int(fields[1]),
        started=int(fields[19]),
        name=said.get("Name", "").strip(),
        argv=argv,
        program=program,
        uid=int(said.get("Uid", "0 0").split()[1]),
        gid=int(said.get("Gid", "0 0").split()[1]),
        groups=tuple(int(word) for word in said.get("Groups", "").split()),
        capabilities=mask("CapEff"),
        no_new_privileges=said.get("NoNewPrivs", "0").strip() == "1",
        caught=mask("SigCgt", "SigBlk"),
        waits=waiting.endswith("do_wait"),
    )


def family(pid: int, proc: Path = PROC) -> Iterator[int]:
    """A process and all that descend from it, parents first. What is run into a container from outside does not."""
    waiting, seen = [pid], {pid}
    while waiting and len(seen) <= MOST_PROCESSES:
        one = waiting.pop()
        yield one
        for child in _children(one, proc):
            if child not in seen:
                seen.add(child)
                waiting.append(child)


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (proc / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return sorted(found)


def is_in_container(pid: int, container_id: str, proc: Path = PROC) -> bool:
    """Whether that process of this machine is the container's: an engine elsewhere tells the pids of another machine.
    A control group has the container's name, or the files that an engine mounts into each."""
    for file in ("cgroup", "mountinfo"):
        with contextlib.suppress(OSError):
            if container_id in (proc / str(pid) / file).read_text(errors="replace"):
                return True
    return False


def read_listeners(pid: int, proc: Path = PROC) -> tuple[Listener, ...]:
    """The TCP sockets that wait for connections in a process's network namespace, by their ports."""
    found: set[Listener] = set()
    for file in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            found |= set(parse_listeners((proc / str(pid) / "net" / file).read_text()))
    return tuple(sorted(found))


def parse_listeners(text: str) -> Iterator[Listener]:
    """Out of /proc/net/tcp or tcp6: addresses are 32-bit words in the machine's byte order, in hexadecimal."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTENING:
            continue
        words, _, port = fields[1].partition(":")
        raw = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
        address = ipaddress.ip_address(raw)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        yield Listener(port=int(port, 16), address=str(address), loopback=address.is_loopback)
