"""What of the host's network Services need: their addresses on a bridge, and ports that nobody else has.

By the program `ip`, which is asked only when something changes: whether an address is there is asked of the kernel.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from pathlib import Path

from runtime.balancer.config import Bind

_IP_FREEBIND = 15
"""linux/in.h: bind an address that is not there, as HAProxy's `transparent` does."""
_NONLOCAL = Path("/proc/sys/net/ipv4/ip_nonlocal_bind")
_IP_SECONDS = 10.0


def cannot_have_addresses(engine: str) -> str:
    """Why no Service can have an address of its own here; empty where they can."""
    if not engine.startswith("unix://"):
        return f"the engine, {engine}, is not of this host"
    if os.geteuid() != 0:
        return "the controller does not run as root, and only root puts addresses on a bridge"
    return "" if _program() else "the program `ip` is not installed (apt-get install iproute2)"


def bridge_is_here(bridge: str) -> bool:
    """Whether the engine's bridge is an interface of this host, and of its own network."""
    try:
        socket.if_nametoindex(bridge)
    except OSError:
        return False
    return True


def is_here(address: str) -> bool:
    """Whether some interface of the host has the address."""
    if _NONLOCAL.exists() and _NONLOCAL.read_text().strip() == "1":
        return f" {address}/" in _ip("-4", "-o", "address", "show", "to", f"{address}/32")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def put(address: str, bridge: str) -> str:
    """Give the bridge the address; why that failed, or nothing."""
    return _ip("address", "replace", f"{address}/32", "dev", bridge, failed=True)


def take(address: str, bridge: str) -> None:
    """Take the address from the bridge, where both are there."""
    _ip("address", "delete", f"{address}/32", "dev", bridge)


def cannot_be_bound(bind: Bind) -> str:
    """Why HAProxy could not listen there; empty where it can, and where it does. One that it cannot bind would keep
    everything else out of its configuration."""
    # As HAProxy does it: what another of the same user has bound so is no obstacle, what a stranger has is one.
    family = socket.AF_INET6 if ":" in bind.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        for level, option in (
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
            (socket.SOL_SOCKET, socket.SO_REUSEPORT),
            (socket.IPPROTO_IP, _IP_FREEBIND),
        ):
            probe.setsockopt(level, option, 1)
        try:
            probe.bind((bind.address, bind.port))
        except OSError as error:
            where = f"{bind.address}:{bind.port}"
            if error.errno == errno.EADDRINUSE:
                return f"{where} is taken: another program of this machine listens on port {bind.port}"
            return f"{where} cannot be bound: {error.strerror}"
    return ""


def _program() -> str | None:
    return shutil.which("ip") or shutil.which("ip", path="/usr/local/sbin:/usr/sbin:/sbin")


def _ip(*words: str, failed: bool = False) -> str:
    """What `ip` says; with `failed` only what it says of a failure."""
    try:
        done = subprocess.run(
            [_program() or "ip", *words], capture_output=True, text=True, timeout=_IP_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error) if failed else ""
    if not failed:
        return done.stdout
    return (done.stderr.strip() or f"`ip {' '.join(words)}` failed") if done.returncode else ""
