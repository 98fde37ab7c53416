"""Who listens on a TCP port of this machine."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imageforge.stack.process import name_of

LISTEN = "0A"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A process that listens; pid 0 where another user's processes cannot be looked into.

    `connected` where it does not listen: the kernel gave the port to an outgoing connection of the process.
    """

    pid: int
    name: str
    connected: bool = False

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process of another user"

    @property
    def has_it(self) -> str:
        """The process and what it does with the port, as a clause."""
        return f"{self} has it for an outgoing connection" if self.connected else f"{self} listens there"


def holder(address: str, port: int) -> Holder | None:
    """The process that has `address`:`port`, or that port of every address; None when it is free.

    Raises nothing: that the port can be bound is tried first, the kernel's tables only name who is in the way.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        # Without it a port that served a moment ago (TIME_WAIT) would count as taken; the daemons set it too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return None
        except OSError:
            listening = _inodes(address, port, listening=True, wide=True)
            others = set() if listening else _inodes(address, port, listening=False, wide=True)
            return _find(listening or others, connected=bool(others)) or Holder(pid=0, name="?", connected=bool(others))
    return None


def unbindable(address: str, port: int) -> str | None:
    """Why nobody could listen there, whoever is there now; None where somebody could."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except PermissionError:
        return "only root may listen on a port as low as this"
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return "this machine has no such address"
    return None


def outgoing_ports() -> range:
    """What the kernel gives to connections that ask for no port of their own: a server's port that is among them may
    be away at the moment in which the server starts.

    `is_reserved` tells the ones among them that are kept out of it.
    """
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return range(0)
    return range(int(low), int(high) + 1)


def is_reserved(port: int) -> bool:
    """Whether the administrator keeps a port from outgoing connections (net.ipv4.ip_local_reserved_ports)."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
    except OSError:
        return False
    for each in filter(None, text.split(",")):
        first, _, last = each.partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _find(inodes: set[str], *, connected: bool) -> Holder | None:
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        if any(link.startswith("socket:[") and link[8:-1] in inodes for link in _links(process / "fd")):
            return Holder(pid=int(process.name), name=name_of(int(process.name)), connected=connected)
    return None


def _links(folder: Path) -> Iterator[str]:
    """What a process has open; a descriptor may be closed while we look, a process of another user is not shown."""
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def listening_inodes(address: str, port: int) -> set[str]:
    """The inodes of the sockets that listen on `address`:`port` or on that port of every address."""
    return _inodes(address, port, listening=True)


def _inodes(address: str, port: int, *, listening: bool, wide: bool = False) -> set[str]:
    """Of a `wide` look also those that are in the way of who wants the port of every address."""
    wanted = ipaddress.ip_address(address)
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            local, hexadecimal = fields[1].split(":")
            if (fields[3] == LISTEN) != listening or int(hexadecimal, 16) != port:
                continue
            bound = _address(local)
            if isinstance(bound, ipaddress.IPv6Address):
                bound = bound.ipv4_mapped or bound
            if bound.is_unspecified or bound == wanted or (wide and wanted.is_unspecified):
                found.add(fields[9])
    return found


def _address(hexadecimal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as /proc/net/tcp spells it: 32-bit words in host byte order."""
    words = bytes.fromhex(hexadecimal)
    raw = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return ipaddress.ip_address(raw)
