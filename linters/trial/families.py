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
# They start what they are told, and wait for it.
_LAUNCHERS = frozenset({"npm", "npx", "yarn", "pnpm", "corepack", "poetry", "pipenv", "uv", "pdm", "hatch", "bundle"})
_WORKERS = re.compile(r"multiprocessing|forkserver|spawn_main|resource_tracker|semaphore_tracker")
_INTERPRETERS = re.compile(r"(?:python|pypy|ruby|perl|node|nodejs|php|java|bun|deno|lua|Rscript|dotnet)[0-9.]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One program with its workers, named by its first process's command line."""

    head: ProcessSeen
    size: int


def steady(processes: Sequence[ProcessSeen]) -> tuple[ProcessSeen, ...]:
    """Those that were there at the end, and for a while."""
    end = max((process.last for process in processes), default=0.0)
    return tuple(one for one in processes if one.last == end and is_old(one))


def is_old(process: ProcessSeen) -> bool:
    """Whether it was there for long enough to count, when it was seen last."""
    return process.last - process.first >= min(STEADY_SECONDS, process.last / 2)


def is_settling(processes: Sequence[ProcessSeen]) -> bool:
    """Whether one is there that has just begun, and may stay."""
    end = max((process.last for process in processes), default=0.0)
    return any(one.last == end and not is_old(one) and not is_helper(one) for one in processes)


def families(processes: Sequence[ProcessSeen]) -> tuple[Family, ...]:
    """The programs among processes. Reapers, helpers, and what only started others and waits for them (a shell, npm)
    are none.

    A child that is the same program as its parent is a worker of it, as one of the same package is.
    """
    there = {process.pid: process for process in steady(processes)}
    parents = {process.parent for process in there.values() if not is_helper(process)}
    members: dict[str, list[ProcessSeen]] = {}
    for process in there.values():
        if is_helper(process) or (process.pid in parents and _only_starts(process)):
            continue
        head = process
        while (parent := there.get(head.parent)) is not None and _is_worker(head, parent):
            head = parent
        members.setdefault(_key(head), []).append(head)
    found = (Family(head=min(each, key=lambda one: one.started), size=len(each)) for each in members.values())
    return tuple(sorted(found, key=lambda one: (one.head.started, one.head.pid)))


def is_helper(process: ProcessSeen) -> bool:
    """Whether it is no program of its own: it waits, reaps, or passes text on."""
    return _name(process) in _HELPERS or _name(process) in _REAPERS


def _only_starts(process: ProcessSeen) -> bool:
    words = {name_of(word) for word in process.argv[:2]}
    return process.waits or _name(process) in _SHELLS or not words.isdisjoint(_LAUNCHERS)


def _is_worker(process: ProcessSeen, parent: ProcessSeen) -> bool:
    if _name(parent) in _SHELLS or is_helper(parent):
        return False
    if process.program and parent.program and process.program != parent.program:
        return _beside(process.program, parent.program)
    if not process.program and _name(process) != _name(parent):
        return process.name == parent.name
    if not _INTERPRETERS.fullmatch(_name(process)):
        return True
    # Of an interpreter it is what it runs that counts; one that has put a title in the place of its words is a worker.
    titled = len(process.argv) <= 1
    return titled or _key(process) == _key(parent) or _WORKERS.search(" ".join(process.argv)) is not None


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
