"""Ports for servers of the tests that are started a while after their port was chosen."""

from __future__ import annotations

import random
import socket
from pathlib import Path

GAP = 4
"""A port is given with the ones behind it: tests take `port + 1` and `port + 2`, too."""
LOWEST, HIGHEST = 10000, 29999
"""Above what is registered for well-known servers, below Kubernetes' node ports."""

_given: set[int] = set()


def unused_port() -> int:
    """A TCP port that nobody has at the moment, nor the three behind it, and that this process gave to nobody yet.

    Not one that the kernel chooses for a bind to port 0: those come from the range that it takes outgoing connections'
    ports from, so that one of them has the port by the time the server starts.
    """
    outgoing = range(*map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()))
    chosen = random.SystemRandom()
    for _ in range(1000):
        port = chosen.randrange(LOWEST, HIGHEST, GAP)
        ports = range(port, port + GAP)
        # Where the kernel takes them from everywhere, there is no better one.
        safe = not set(ports) & set(outgoing) or outgoing.start <= LOWEST
        if port not in _given and safe and all(map(_is_free, ports)):
            _given.add(port)
            return port
    raise RuntimeError(f"no unused port between {LOWEST} and {HIGHEST}; outgoing connections take theirs of {outgoing}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
