"""Where a container's processes listen, read from the kernel: no tool is needed in the image."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

LISTEN = "0A"
"""The state column of /proc/net/tcp for a listening socket (include/net/tcp_states.h)."""

_EMBEDDED_DNS = ipaddress.ip_address("127.0.0.11")
"""The engine's own resolver, which listens in every container."""


def listening(pid: int) -> tuple[str, ...]:
    """The TCP addresses (``127.0.0.1:3000``, ``[::]:80``) accepted on in the network namespace of the host's process
    `pid`; empty where that cannot be read, as with an engine on another machine."""
    found: list[tuple[int, str]] = []
    for name in ("tcp", "tcp6"):
        try:
            text = Path(f"/proc/{pid}/net/{name}").read_text()
        except OSError:
            continue
        found += parse_listening(text)
    return tuple(address for _, address in sorted(set(found)))


def parse_listening(text: str) -> list[tuple[int, str]]:
    """(port, address) of each listening socket in the text of /proc/net/tcp or tcp6."""
    out: list[tuple[int, str]] = []
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 4 or columns[3] != LISTEN:
            continue
        raw_address, _, raw_port = columns[1].partition(":")
        address, port = _address(raw_address), int(raw_port, 16)
        if address == _EMBEDDED_DNS:
            continue
        shown = f"[{address}]" if address.version == 6 else str(address)
        out.append((port, f"{shown}:{port}"))
    return out


def _address(raw: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The kernel prints each 32-bit word in the machine's byte order."""
    words = [int(raw[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(raw), 8)]
    return ipaddress.ip_address(b"".join(words))
