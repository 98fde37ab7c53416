"""chmod on a command line: which modes it gives to which paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from linters.programs import name_of, unwrap
from linters.shell import Command

_OCTAL = re.compile(r"[0-7]{1,5}$")
_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One chmod. `mode` is as it is written."""

    command: Command
    mode: str
    paths: tuple[str, ...]
    recursive: bool

    @property
    def writable_by_all(self) -> bool:
        """Whether others may write, the sticky bit not set: 777, 666, a+w, o+w."""
        if _OCTAL.match(self.mode):
            number = int(self.mode, 8)
            return bool(number & 0o2) and not number & 0o1000
        return any(
            sign in "+=" and "w" in given and (set(who) & {"o", "a"}) for who, sign, given in self._parts()
        ) and not any("t" in given for _, _, given in self._parts())

    @property
    def sets_user(self) -> bool:
        """Whether the program then runs as its owner: 4755, u+s, +s."""
        return sets_user(self.mode)

    def _parts(self) -> list[tuple[str, str, str]]:
        return _SYMBOLIC.findall(self.mode)


def sets_user(mode: str) -> bool:
    """Whether a mode has the bit by which a program runs as its owner."""
    if _OCTAL.match(mode):
        return bool(int(mode, 8) & 0o4000)
    found: list[tuple[str, str, str]] = _SYMBOLIC.findall(mode)
    return any(sign in "+=" and "s" in given and (not who or set(who) & {"u", "a"}) for who, sign, given in found)


def changes(commands: Iterable[Command]) -> Iterator[Change]:
    """The chmod calls among the commands, in order; one with a mode that is not written out is left out."""
    for command in commands:
        argv = unwrap(command.argv)
        if not argv or name_of(argv[0]) != "chmod":
            continue
        options = [word for word in argv[1:] if re.match(r"-(?:[Rvfc]+$|-)", word)]
        plain = [word for word in argv[1:] if word not in options]
        if len(plain) < 2 or "$" in plain[0]:
            continue
        recursive = any(option == "--recursive" or re.match(r"-[a-z]*R", option) for option in options)
        yield Change(command=command, mode=plain[0], paths=tuple(plain[1:]), recursive=recursive)
