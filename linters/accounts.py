"""The accounts that shell commands make: useradd, adduser of Debian and of Busybox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from linters.programs import name_of, unwrap
from linters.shell import Command

# Letters of options that take a value, the next word where they end a cluster.
_USERADD = frozenset("bcdefgGkKpRPsuZ")
_ADDUSER = frozenset("hgsGuk")
_LONG = frozenset(
    {
        *("--uid", "--gid", "--groups", "--home", "--home-dir", "--shell", "--comment", "--password", "--gecos"),
        *("--ingroup", "--base-dir", "--expiredate", "--inactive", "--skel", "--key", "--firstuid", "--lastuid"),
        *("--conf", "--add_extra_groups", "--root", "--prefix", "--selinux-user"),
    }
)
_LONGEST_NUMBER = 10
"""Digits of the largest number of an account, 4294967294; Python reads no text of thousands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account by its name; `uid` is None where it is not written as a number."""

    name: str
    uid: int | None
    command: Command


def accounts(commands: Iterable[Command]) -> Iterator[Account]:
    """The accounts that the commands make, in order."""
    for command in commands:
        argv = unwrap(command.argv)
        program = name_of(argv[0]) if argv else ""
        if program in ("useradd", "adduser"):
            account = _read(argv[1:], _USERADD if program == "useradd" else _ADDUSER, command)
            if account is not None:
                yield account


def _read(words: tuple[str, ...], valued: frozenset[str], command: Command) -> Account | None:
    uid: int | None = None
    plain: list[str] = []
    waiting = ""
    for word in words:
        if waiting:
            uid = _number(word) if waiting in ("u", "--uid") else uid
            waiting = ""
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if name == "--uid" and equals:
                uid = _number(value)
            waiting = name if not equals and name in _LONG else ""
        elif word.startswith("-") and len(word) > 1:
            uid, waiting = _cluster(word[1:], valued, uid)
        else:
            plain.append(word)
    # `useradd … name` takes one; Debian's `adduser name group` puts one into a group.
    name = plain[0] if len(plain) == 1 else ""
    return Account(name=name, uid=uid, command=command) if name and "$" not in name else None


def _cluster(letters: str, valued: frozenset[str], uid: int | None) -> tuple[int | None, str]:
    """What `-rlmu 1000` or `-u1000` says, and the option that waits for the next word."""
    for index, letter in enumerate(letters):
        if letter in valued:
            rest = letters[index + 1 :]
            if rest:
                return (_number(rest) if letter == "u" else uid), ""
            return uid, letter
    return uid, ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _LONGEST_NUMBER else None
