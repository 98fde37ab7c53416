"""Which of a container's processes are one program: pure, from what was seen of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from linters.programs import name_of
from linters.trial.model import ProcessSeen

STEADY_SECONDS = 1.0
"""How long a process is there before it counts: start scripts have many that are gone at once."""
_REAPERS = frozenset({"tini", "dumb-init", "docker-init", "catatonit", "tini-static", "krallin-tini", "pause"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
# What passes text on, waits, or helps one program alone; none is a service.
_HELPERS = frozenset(
    {"sleep", "cat", "tee", "tail", "logger", "timeout", "ts", "erl_child_setup", "inet_gethost", "epmd", "multilog"}
)
_COMMON = frozenset(
    ("", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/app", "/opt", "/srv")
)
_INTERPRETERS = re.compile(r"(?:python|pypy|ruby|perl|node|nodejs|php|java|bun|deno|lua|Rscript|dotnet)[0-9.]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One program with its workers, named by its first process's command line."""

    head: ProcessSeen
    size: int


def steady(processes: Sequence[ProcessSeen]) -> tuple[ProcessSeen, ...]:
    """Those that were there at the end, and for a while."""
    end = max((process.last for process in processes), default=0.0)
    return tuple(one for one in processes if one.last == end and one.last - one.first >= min(STEADY_SECONDS, end / 2))


def families(processes: Sequence[ProcessSeen]) -> tuple[Family, ...]:
    """The programs among processes, reapers, shells that only started others, and helpers left out.

    A child that is the same program file as its parent, or of the same package, is a worker of it, whatever its
    arguments are. Two that a shell
    or a reaper started are one program only where they were started with the same script.
    """
    there = {process.pid: process for process in steady(processes)}
    heads: dict[int, ProcessSeen] = {}
    for process in there.values():
        head = _head(process, there)
        if head is not None:
            heads[process.pid] = head
    grouped: dict[str, list[ProcessSeen]] = {}
    first: dict[str, ProcessSeen] = {}
    for head in heads.values():
        key = _key(head)
        grouped.setdefault(key, []).append(head)
        first.setdefault(key, head)
    if not grouped:
        shells = [one for one in there.values() if _name(one) in _SHELLS] or list(there.values())
        return (Family(head=shells[0], size=len(there)),) if shells else ()
    return tuple(Family(head=first[key], size=len(found)) for key, found in sorted(grouped.items()))


def _head(process: ProcessSeen, there: dict[int, ProcessSeen]) -> ProcessSeen | None:
    """The first process of the program that `process` is of; None for what is no program of its own."""
    name = _name(process)
    if name in _REAPERS or name in _SHELLS or name in _HELPERS:
        return None
    head = process
    while (parent := there.get(head.parent)) is not None and _same_program(parent, head):
        head = parent
    return head


def _same_program(one: ProcessSeen, other: ProcessSeen) -> bool:
    if _name(one) in _SHELLS or _name(one) in _REAPERS:
        return False
    if one.program and other.program:
        return one.program == other.program or _beside(one.program, other.program)
    return one.name == other.name or _name(one) == _name(other)


def _beside(one: str, other: str) -> bool:
    """Whether two files are of one package: in one folder, which is not one of those that all packages use."""
    folder = one.rpartition("/")[0]
    return folder == other.rpartition("/")[0] and folder not in _COMMON


def _name(process: ProcessSeen) -> str:
    if process.program:
        name = name_of(process.program)
        # One file is many programs there; which, its first word says.
        return name_of(process.argv[0]).lstrip("-") if name == "busybox" and process.argv else name
    return name_of(process.argv[0]).lstrip("-") if process.argv else process.name


def _key(process: ProcessSeen) -> str:
    """What tells a program from another: its file, and of an interpreter what it runs."""
    program = process.program or _name(process)
    if not _INTERPRETERS.fullmatch(_name(process)):
        return program
    words = iter(process.argv[1:])
    for word in words:
        if word in ("-m", "-jar", "-c", "-e", "--"):
            return f"{program} {word} {next(words, '')}"
        if not word.startswith("-"):
            return f"{program} {word}"
    return program
