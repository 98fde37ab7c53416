"""Calls of Linux that Python has not: paths that do not leave a folder, and mounts of what is already open.

openat2(2) says by itself what a walk by hand would have to get right; mount(2) by a descriptor shows what was looked
at, and not what somebody has put in its place since.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path

_OPENAT2 = 437
"""The number of the call, the same on every architecture that Docker is on (asm-generic/unistd.h)."""
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_MS_BIND = 0x1000
_MNT_DETACH = 0x02
_UMOUNT_NOFOLLOW = 0x08
_TRIES = 8
"""A walk that meets a rename is to be tried again, as openat2(2) has it."""
_MOUNTS = Path("/proc/self/mountinfo")


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_real(path: Path) -> int:
    """A descriptor of a place that has no link on its way. Raises OSError."""
    return _open(-1, os.fsencode(path), os.O_PATH, _RESOLVE_NO_SYMLINKS)


def open_beneath(folder: int, path: str, *, links: bool = True) -> int:
    """A descriptor of what is at `path` in an open folder, its links followed as long as they stay there. Raises
    OSError: EXDEV for a link that leads out, ELOOP for one where none may be."""
    resolve = _RESOLVE_BENEATH | (_RESOLVE_NO_MAGICLINKS if links else _RESOLVE_NO_SYMLINKS)
    return _open(folder, os.fsencode(path), os.O_PATH, resolve)


def bind(opened: int, target: Path) -> None:
    """Show at `target` what a descriptor is of. Raises OSError."""
    source = f"/proc/self/fd/{opened}".encode()
    if _libc().mount(source, os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None):
        raise _failure(str(target))


def detach(target: Path) -> None:
    """Take away what is mounted at `target`; who has it open has it still. Raises OSError."""
    if _libc().umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW):
        raise _failure(str(target))


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted below a folder, by proc_pid_mountinfo(5), the latest first; of several at one place each."""
    found = []
    for line in _MOUNTS.read_bytes().splitlines():
        where = line.split()[4]
        for octal, plain in ((rb"\040", b" "), (rb"\011", b"\t"), (rb"\012", b"\n"), (rb"\134", b"\\")):
            where = where.replace(octal, plain)
        if where.startswith(os.fsencode(folder) + b"/"):
            found.append(Path(os.fsdecode(where)))
    return found[::-1]


def _open(folder: int, path: bytes, flags: int, resolve: int) -> int:
    how = _How(flags=flags | os.O_CLOEXEC, mode=0, resolve=resolve)
    for _ in range(_TRIES):
        opened: int = _libc().syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_int(folder), path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        if opened >= 0:
            return opened
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise _failure(os.fsdecode(path))


def _failure(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


@cache
def _libc() -> ctypes.CDLL:
    # Not when this is imported: a client is on systems that have none of it.
    return ctypes.CDLL(None, use_errno=True)
