"""The lists that a running HAProxy holds, against those that are wanted: which words bring it from one to the other.

Pure. Each change says by itself what it does and may be said again, so a sequence that was cut off is only gone through
anew. What is to come comes before what is to go: no host is without a backend or a certificate in between.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from runtime.balancer.keyring import Entry

LARGEST_COMMAND = 12_000
"""Bytes of a command with what follows it. HAProxy's buffer has 16 KiB, and it only hangs up on what is longer."""

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A line for the runtime socket, and what follows it. The answer must be empty or hold `answer`, where one is
    expected. The payload may hold a key, so it is never shown."""

    line: str
    payload: str = field(default="", repr=False)
    answer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of the list of certificates as HAProxy shows it: a file's whole path, its number, its names."""

    path: str
    number: int
    names: tuple[str, ...]


def parse_map(text: str) -> tuple[Pair, ...]:
    """``show map FILE``, or the file itself: keys and values; a key may be there twice."""
    fields = (line.split() for line in text.splitlines())
    return tuple((words[-2], words[-1]) for words in fields if len(words) >= 2)


def map_commands(name: str, wanted: Sequence[Pair], there: Sequence[Pair]) -> Iterator[Command]:
    """From the map that is there to the wanted one, whose keys are each there once."""
    want, have = dict(wanted), dict(there)
    twice = {key for key, count in Counter(key for key, _ in there).items() if count > 1}
    yield from _add(name, [pair for pair in wanted if pair[0] not in have])
    for key, value in want.items():
        if key in twice:
            # By its key all of them are set, so only one is put back.
            yield Command(line=f"del map {name} {escape(key)}")
            yield from _add(name, [(key, value)])
        elif key in have and have[key] != value:
            yield Command(line=f"set map {name} {escape(key)} {value}")
    for key in have:
        if key not in want:
            yield Command(line=f"del map {name} {escape(key)}")


def _add(name: str, pairs: Iterable[Pair]) -> Iterator[Command]:
    payload = ""
    for key, value in pairs:
        line = f"{key} {value}\n"
        if payload and len(payload) + len(line) > LARGEST_COMMAND // 2:
            yield Command(line=f"add map {name}", payload=payload)
            payload = ""
        payload += line
    if payload:
        yield Command(line=f"add map {name}", payload=payload)


def parse_certificates(text: str) -> tuple[Line, ...]:
    """``show ssl crt-list -n FILE``."""
    found = (re.fullmatch(r"(/.*):(\d+)(?: \[\])?((?: \S+)*) *", line) for line in text.splitlines())
    return tuple(Line(path=item[1], number=int(item[2]), names=tuple(item[3].split())) for item in found if item)


def parse_stores(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """``show ssl cert``: the paths it knows, and those of them in the middle of a change."""
    lines = [line.strip() for line in text.splitlines()]
    return (
        frozenset(line for line in lines if line.startswith("/")),
        frozenset(line[1:] for line in lines if line.startswith("*/")),
    )


def certificates_in_step(folder: str, wanted: Sequence[Entry], there: Sequence[Line]) -> bool:
    """Whether each certificate is served for its names, and no other."""
    return Counter((f"{folder}/{entry.file}", entry.names) for entry in wanted) == Counter(
        (line.path, line.names) for line in there
    )


def missing_certificates(folder: str, wanted: Sequence[Entry], there: Sequence[Line]) -> tuple[Entry, ...]:
    """Those that are not served yet, or not for all of their names, or for more."""
    shown = {(line.path, line.names) for line in there}
    return tuple(entry for entry in wanted if (f"{folder}/{entry.file}", entry.names) not in shown)


def load_commands(path: str, pem: bytes, stores: frozenset[str], changing: frozenset[str]) -> Iterator[Command]:
    """Have HAProxy hold a certificate that no line leads to. What is there of it was left by who was cut off, and so is
    a change of any other: HAProxy has one at a time."""
    said = escape(path)
    for left in sorted(changing):
        yield Command(line=f"abort ssl cert {escape(left)}", answer="aborted")
    if path in stores:
        yield Command(line=f"del ssl cert {said}", answer="deleted")
    # An empty line would end the command before its time.
    lines = [line.strip() for line in pem.decode("ascii", errors="replace").splitlines()]
    yield Command(line=f"new ssl cert {said}", answer="New empty certificate store")
    yield Command(
        line=f"set ssl cert {said}",
        payload="".join(f"{line}\n" for line in lines if line),
        answer="Transaction created",
    )
    yield Command(line=f"commit ssl cert {said}", answer="Success!")


def serve_command(name: str, entry: Entry) -> Command:
    """Lead an entry's names to its certificate, which HAProxy holds."""
    payload = f"{entry.file} {' '.join(entry.names)}\n"
    return Command(line=f"add ssl crt-list {name}", payload=payload, answer="Success!")


def retire_commands(name: str, folder: str, wanted: Sequence[Entry], there: Sequence[Line]) -> Iterator[Command]:
    """Take out the lines that are not wanted, and of two that say the same the later; then what none leads to."""
    keep = {(f"{folder}/{entry.file}", entry.names) for entry in wanted}
    files = {path for path, _ in keep}
    for line in there:
        if (line.path, line.names) in keep:
            keep.remove((line.path, line.names))
        else:
            yield Command(line=f"del ssl crt-list {name} {escape(line.path)}:{line.number}", answer="deleted in")
    for path in dict.fromkeys(line.path for line in there):
        if path not in files:
            yield Command(line=f"del ssl cert {escape(path)}", answer="deleted!")


def escape(word: str) -> str:
    """As one word of a command."""
    return re.sub(r"([^A-Za-z0-9._/-])", r"\\\1", word)
