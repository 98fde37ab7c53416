"""Which program a command line runs in the end, behind the wrappers that only prepare the way for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
# Wrappers that end in exec: name -> how many arguments of their own stand before the command.
_WRAPPERS = {
    "busybox": 0,
    "exec": 0,
    "command": 0,
    "env": 0,
    "nice": 0,
    "nohup": 0,
    "sudo": 0,
    "stdbuf": 0,
    "tini": 0,
    "tini-static": 0,
    "dumb-init": 0,
    "docker-init": 0,
    "catatonit": 0,
    "setpriv": 0,
    "gosu": 1,
    "su-exec": 1,
    "chpst": 0,
    "s6-setuidgid": 1,
    "timeout": 1,
    # It does not end in exec, but what it times is what is run.
    "time": 0,
}
_TWO_WORD_WRAPPERS = frozenset(
    {("bundle", "exec"), ("poetry", "run"), ("pipenv", "run"), ("uv", "run"), ("pdm", "run"), ("npm", "exec")}
)
# Options of wrappers that take the next word as their value.
_VALUED = frozenset({"-u", "-g", "-n", "-s", "-k", "-e", "-C", "--user", "--group", "--signal"})
# Of those that only reap, -s and -g stand alone, and others take a value.
_REAPERS = frozenset({"tini", "tini-static", "dumb-init", "docker-init", "catatonit"})
_VALUED_BY_TIME = frozenset({"-o", "-f", "--output", "--format"})
_VALUED_BY_PYTHON = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_VALUED_BY_REAPERS = frozenset({"-e", "-p", "-r", "--rewrite"})
_PYTHON = re.compile(r"python[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
DROPPERS = frozenset({"gosu", "su-exec", "setpriv", "runuser", "chpst", "s6-setuidgid", "setuser"})


def name_of(word: str) -> str:
    """The program's name without its folder."""
    return word.rstrip("/").rpartition("/")[2]


def unwrap(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` without the wrappers in front: `tini -- gosu app gunicorn x` gives `gunicorn x`."""
    rest = list(argv)
    while rest:
        name = name_of(rest[0])
        if tuple(rest[:2]) in _TWO_WORD_WRAPPERS:
            rest = rest[2:]
        elif name == "command" and rest[1:2] in (["-v"], ["-V"]):
            break  # asks whether there is such a program, and runs none
        elif name in _WRAPPERS:
            valued = _VALUED_BY_REAPERS if name in _REAPERS else _VALUED_BY_TIME if name == "time" else _VALUED
            rest = _skip_options(rest[1:], valued)[_WRAPPERS[name] :]
        else:
            break
    return tuple(rest)


def started(argv: Sequence[str]) -> tuple[str, ...]:
    """`unwrap`, and a Python module in place of its interpreter: `python -m honcho start` gives `honcho start`."""
    inner = unwrap(argv)
    if not inner or not _PYTHON.fullmatch(name_of(inner[0])):
        return inner
    at = 1
    while at < len(inner) and inner[at].startswith("-") and inner[at] != "-m":
        at += 2 if inner[at] in _VALUED_BY_PYTHON else 1
    return inner[at + 1 :] if inner[at : at + 1] == ("-m",) and len(inner) > at + 1 else inner


def _skip_options(rest: list[str], valued: frozenset[str]) -> list[str]:
    position = 0
    while position < len(rest):
        word = rest[position]
        if word == "--":
            return rest[position + 1 :]
        if _ASSIGNMENT.match(word):
            position += 1
        elif word.startswith("-"):
            position += 2 if word in valued else 1
        else:
            break
    return rest[position:]


def shell_script(argv: Sequence[str]) -> int | None:
    """The index in `argv` of the script that a shell is given by `-c`, wrappers allowed; None where there is none."""
    inner = unwrap(argv)
    if not inner or name_of(inner[0]) not in SHELLS:
        return None
    base = len(argv) - len(inner)
    for index, word in enumerate(inner[1:], start=1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return base + index + 1 if index + 1 < len(inner) else None
        if not word.startswith("-") and word not in ("pipefail", "errexit"):
            return None
    return None
