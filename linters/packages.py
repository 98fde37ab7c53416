"""Package managers on a command line: which one, what it does, to which packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from linters.programs import name_of, unwrap
from linters.scripts import Script
from linters.shell import Command


class Verb(StrEnum):
    """What a package manager is told to do."""

    INSTALL = "install"
    UPDATE = "update"
    UPGRADE = "upgrade"
    REMOVE = "remove"
    CLEAN = "clean"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a package manager; `options` are its words with a dash, `packages` the rest behind the verb."""

    manager: str
    verb: Verb
    packages: tuple[str, ...]
    options: tuple[str, ...]
    command: Command


_APT = {
    "install": Verb.INSTALL,
    "build-dep": Verb.INSTALL,
    "update": Verb.UPDATE,
    "upgrade": Verb.UPGRADE,
    "dist-upgrade": Verb.UPGRADE,
    "full-upgrade": Verb.UPGRADE,
    "remove": Verb.REMOVE,
    "purge": Verb.REMOVE,
    "autoremove": Verb.REMOVE,
    "autopurge": Verb.REMOVE,
    "clean": Verb.CLEAN,
    "dist-clean": Verb.CLEAN,
    "distclean": Verb.CLEAN,
}
_DNF = {
    "install": Verb.INSTALL,
    "groupinstall": Verb.INSTALL,
    "localinstall": Verb.INSTALL,
    "reinstall": Verb.INSTALL,
    "makecache": Verb.UPDATE,
    "check-update": Verb.UPDATE,
    "update": Verb.UPGRADE,
    "upgrade": Verb.UPGRADE,
    "distro-sync": Verb.UPGRADE,
    "remove": Verb.REMOVE,
    "erase": Verb.REMOVE,
    "autoremove": Verb.REMOVE,
    "clean": Verb.CLEAN,
}
_NPM = {"install": Verb.INSTALL, "i": Verb.INSTALL, "ci": Verb.INSTALL, "add": Verb.INSTALL, "uninstall": Verb.REMOVE}
_VERBS: dict[str, dict[str, Verb]] = {
    "apt": _APT,
    "apk": {
        "add": Verb.INSTALL,
        "update": Verb.UPDATE,
        "upgrade": Verb.UPGRADE,
        "del": Verb.REMOVE,
    },
    "dnf": _DNF,
    "zypper": {
        "install": Verb.INSTALL,
        "in": Verb.INSTALL,
        "refresh": Verb.UPDATE,
        "ref": Verb.UPDATE,
        "update": Verb.UPGRADE,
        "up": Verb.UPGRADE,
        "dup": Verb.UPGRADE,
        "dist-upgrade": Verb.UPGRADE,
        "remove": Verb.REMOVE,
        "rm": Verb.REMOVE,
        "clean": Verb.CLEAN,
        "cc": Verb.CLEAN,
    },
    "pip": {"install": Verb.INSTALL, "uninstall": Verb.REMOVE},
    "npm": _NPM,
    "yarn": {"install": Verb.INSTALL, "add": Verb.INSTALL},
    "pnpm": _NPM,
    "gem": {"install": Verb.INSTALL},
    "bundle": {"install": Verb.INSTALL},
    "composer": {"install": Verb.INSTALL, "require": Verb.INSTALL},
    "conda": {"install": Verb.INSTALL, "clean": Verb.CLEAN},
}
_PROGRAMS = {
    "apt": "apt",
    "apt-get": "apt",
    "aptitude": "apt",
    "apk": "apk",
    "dnf": "dnf",
    "yum": "dnf",
    "microdnf": "dnf",
    "tdnf": "dnf",
    "zypper": "zypper",
    "npm": "npm",
    "yarn": "yarn",
    "pnpm": "pnpm",
    "gem": "gem",
    "bundle": "bundle",
    "composer": "composer",
    "conda": "conda",
    "mamba": "conda",
}
_PIP = re.compile(r"pip[0-9.]*$")
_PYTHON = re.compile(r"python[0-9.]*$")
# Options whose value is the next word, so that it is not taken for a package.
_VALUED = {
    "apt": frozenset({"-o", "-t", "-c", "--option", "--target-release", "--config-file"}),
    "apk": frozenset({"-t", "--virtual", "-X", "--repository", "-p", "--root", "--arch", "--repositories-file"}),
    "dnf": frozenset({"-c", "-x", "--installroot", "--setopt", "--enablerepo", "--disablerepo", "--repo"}),
    "pip": frozenset({"-r", "-c", "-i", "-t", "-e", "-f", "--requirement", "--index-url", "--extra-index-url"}),
    "npm": frozenset({"--prefix", "-C", "--registry"}),
}


def calls(script: Script) -> Iterator[Call]:
    """The package manager calls of a script, in order."""
    for command in script.commands:
        call = call_of(command)
        if call is not None:
            yield call


def call_of(command: Command) -> Call | None:
    """What `command` tells a package manager, or None where it tells none anything of note."""
    return read_call(command.argv, command)


def read_call(argv: Sequence[str], command: Command) -> Call | None:
    """As `call_of`, for a command line taken out of `command`."""
    inner = list(unwrap(argv))
    if not inner:
        return None
    program = name_of(inner[0])
    if program == "xargs":
        tail = next((index for index, word in enumerate(inner) if name_of(word) in _PROGRAMS), None)
        return read_call(inner[tail:], command) if tail is not None else None
    if _PYTHON.match(program) and inner[1:3] == ["-m", "pip"]:
        manager, rest = "pip", inner[3:]
    elif program == "uv" and inner[1:2] == ["pip"]:
        manager, rest = "pip", inner[2:]
    elif _PIP.match(program):
        manager, rest = "pip", inner[1:]
    elif program in _PROGRAMS:
        manager, rest = _PROGRAMS[program], inner[1:]
    else:
        return None
    return _read(manager, rest, command)


def _read(manager: str, rest: list[str], command: Command) -> Call | None:
    valued = _VALUED.get(manager, frozenset())
    plain: list[str] = []
    options: list[str] = []
    skip = False
    for word in rest:
        if skip:
            skip = False
        elif word.startswith("-"):
            options.append(word)
            skip = word in valued
        else:
            plain.append(word)
    if manager == "yarn" and not plain:
        plain = ["install"]
    verb = _VERBS[manager].get(plain[0]) if plain else None
    if verb is None:
        return None
    return Call(manager=manager, verb=verb, packages=tuple(plain[1:]), options=tuple(options), command=command)


def bare_name(package: str) -> str:
    """A package's name without version, architecture or release: `gcc=4:12`, `gcc:amd64`, `gcc~=12` give `gcc`."""
    return re.split(r"[=<>~:@/]", package, maxsplit=1)[0]


_MOST_REMOVALS = 100
"""What is taken out again is taken out at the end."""


def purged(removals: Sequence[Call], call: Call, names: Sequence[str]) -> bool:
    """Whether one of the `removals` behind `call` takes the packages `names` out again."""
    return any(
        later.manager == call.manager and later.command.start > call.command.start and _covers(later, call, names)
        for later in removals[-_MOST_REMOVALS:]
    )


def _covers(later: Call, call: Call, names: Sequence[str]) -> bool:
    if any(package.startswith("$") for package in later.packages):
        return True
    words = later.command.argv
    if "autoremove" in words or "--auto-remove" in words or "autopurge" in words:
        return True
    group = _group(call)
    if group is not None and group in later.packages:
        return True
    return set(names) <= {bare_name(package) for package in later.packages}


def _group(call: Call) -> str | None:
    """The name of apk's virtual package."""
    words = call.command.argv
    for index, word in enumerate(words):
        if word in ("-t", "--virtual") and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--virtual="):
            return word.partition("=")[2]
    return None
