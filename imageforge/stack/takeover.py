"""Taking over the socket on which another process listens: whoever connects while that one ends and the next one starts
waits in the kernel's queue, and is refused by nobody."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

from imageforge.stack.ports import listening_inodes

LISTEN_VARIABLE = "FORGE_LISTENER"
"""Tells a service on which descriptor it finds the socket to listen on. (IMAGEFORGE_ begins the name of a setting.)"""
PIDFD_GETFD = 438
"""The system call's number, the same on every architecture; Python has no function for it."""


def take_listener(pid: int, address: str, port: int) -> socket.socket | None:
    """A descriptor of our own for the socket on which `pid` listens; None where it does not, or the kernel does not
    let us (before Linux 5.6; another user's process; Yama's ptrace_scope for users other than root)."""
    wanted = listening_inodes(address, port)
    number = next((fd for fd, inode in _sockets(pid).items() if inode in wanted), None)
    if number is None:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        taken = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)
    return socket.socket(fileno=taken) if taken >= 0 else None


def inherited_listener() -> socket.socket | None:
    """The socket that whoever started us left us to listen on."""
    number = os.environ.pop(LISTEN_VARIABLE, None)
    if number is None:
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    return listener


def _sockets(pid: int) -> dict[int, str]:
    """Of each descriptor of a process that is a socket, the socket's inode."""
    found: dict[int, str] = {}
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found[int(entry.name)] = target[8:-1]
    except OSError:
        return found
    return found
