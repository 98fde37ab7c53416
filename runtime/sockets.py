"""Where a container's processes listen, read from the kernel's tables of its network namespace."""

from __future__ import annotations

import ipaddress
from pathlib import Path

LISTEN = "0A"


def listening(pid: int) -> tuple[str, ...]:
    """The TCP addresses on which the namespace of process `pid` accepts, such as ``127.0.0.1:3000`` or ``[::]:80``;
    empty where the process is on another machine or may not be looked into. The engine's own resolver is left out."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == LISTEN:
                address, port = parse(fields[1])
                if not (address.is_loopback and str(address) == "127.0.0.11"):
                    shown = f"[{address}]" if address.version == 6 else str(address)
                    found.add(f"{shown}:{port}")
    return tuple(sorted(found))


def parse(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """``0100007F:0BB8`` is 127.0.0.1:3000: 32-bit words in the host's byte order, here little-endian."""
    words, _, port = text.partition(":")
    raw = bytes.fromhex(words)
    return ipaddress.ip_address(b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))), int(port, 16)
