"""The proof: what a container sees before and after, read anew and compared.

Nothing of the squash is used here but its way to show a path, neither its reader nor its trees nor its plan: the layers
are read with the standard library's tarfile, applied to a flat table of paths, and the merged layer is read from the
compressed blob that will be published. Where the two programs disagree the image is not published.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, cast

from builders import zstd
from builders.errors import SquashError
from builders.squash.member import shown

_CHUNK = 1 << 20
_SHOWN = 10
_MARK = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(slots=True, eq=False)
class _Thing:
    """A file, folder or other object; names that are hard links of one another share it. `digest` is of the content,
    None until it was needed."""

    facts: tuple[object, ...]
    archive: Path | None = None
    entry: tarfile.TarInfo | None = None
    digest: str | None = None


_IMPLIED = ("folder", 0o755, 0, 0, Decimal(0), "", (0, 0), (), 0)
Table = dict[str, _Thing]


def prove(
    *,
    base: Iterable[Path],
    merged: Iterable[Path],
    result: Path | None,
    diff_id: str | None,
    subject: str,
    check: Callable[[], None],
) -> int:
    """Compares `base` + `merged` (uncompressed layers) with `base` + `result` (a gzipped layer, None for none), and
    returns the number of paths compared. `diff_id` is what the result's content must hash to.

    Equal are paths, types, modes, owners, times, link targets, hard-link groups, extended attributes, device numbers,
    sizes and the sha256 of contents. Raises SquashError ``proof-failed`` with the first ten paths that differ.
    """
    below = read_tree(base, check)
    before = read_tree(merged, check, below)
    after = dict(below)
    stored: list[tuple[str, _Thing]] = []
    if result is not None:
        _apply(after, _noted(_read_blob(result, diff_id, subject), stored), check)
    differing = [_in_words(difference) for difference in compare(before, after, check)]
    if differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise SquashError(
            "proof-failed",
            subject,
            f"squashing would change {len(differing)} paths: {'; '.join(differing[:_SHOWN])}{more}",
            hint="please report it; meanwhile build with --squash none",
            kept="the image as it was built",
        )
    _refuse_unseen(stored, after, subject)
    return len(before)


class Change(StrEnum):
    """What became of a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


LINKS, CONTENT = "links", "content"
FACTS = ("type", "mode", "owner", "group", "time", "target", "device", "xattrs", CONTENT)
"""The names of a thing's facts, in their order; the last one is the size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A path that is not the same in two trees, with a leading slash; `what` of it is not: `FACTS`, ``links``,
    ``content``."""

    path: str
    change: Change
    what: tuple[str, ...] = ()


def read_tree(layers: Iterable[Path], check: Callable[[], None], below: Table | None = None) -> Table:
    """What uncompressed layers amount to, on top of the tree `below`, which stays as it is."""
    table = dict(below or {})
    for path in layers:
        _apply(table, _read_plain(path), check)
    return table


def compare(
    before: Table, after: Table, check: Callable[[], None], *, ignore: frozenset[str] = frozenset()
) -> Iterator[Difference]:
    """The paths that differ, sorted. What is to be ignored of them is not looked at."""
    groups_before, groups_after = _first_names(before), _first_names(after)
    with _contents() as content:
        for path in sorted(before.keys() | after.keys()):
            check()
            old, new = before.get(path), after.get(path)
            if old is None or new is None:
                yield Difference(path=_shown(path), change=Change.ADDED if old is None else Change.REMOVED)
                continue
            what = [LINKS] if groups_before[id(old)] != groups_after[id(new)] else []
            if old is not new:
                what += _other_facts(old, new)
                same_kind = old.facts[0] == new.facts[0]
                if same_kind and CONTENT not in what and content(old) != content(new):
                    what.append(CONTENT)
            found = tuple(name for name in what if name not in ignore)
            if found:
                yield Difference(path=_shown(path), change=Change.CHANGED, what=found)


def _other_facts(old: _Thing, new: _Thing) -> list[str]:
    """Of things of two kinds nothing else is worth saying; a file of another size has another content."""
    if old.facts[0] != new.facts[0]:
        return [FACTS[0]]
    return [name for name, one, other in zip(FACTS, old.facts, new.facts, strict=True) if one != other]


def _in_words(found: Difference) -> str:
    if found.change is not Change.CHANGED:
        return f"{found.path} {'appears' if found.change is Change.ADDED else 'is missing'}"
    if LINKS in found.what:
        return f"{found.path} has other hard links"
    if found.what == (CONTENT,):
        return f"{found.path} has other content"
    return f"{found.path} has other attributes ({', '.join(found.what)})"


def _noted(entries: Iterable[Entry], stored: list[tuple[str, _Thing]]) -> Iterator[Entry]:
    for entry, thing in entries:
        if thing is not None and entry.isreg() and entry.size:
            stored.append((_canonical(entry.name), thing))
        yield entry, thing


def _refuse_unseen(stored: Iterable[tuple[str, _Thing]], after: Table, subject: str) -> None:
    """What the merged layer stores and nobody sees could be read out of it by who has the layer: a key, a password."""
    seen = {id(thing) for thing in after.values()}
    for path, thing in stored:
        if id(thing) not in seen:
            raise SquashError(
                "proof-failed",
                subject,
                f"the merged layer holds a {_shown(path)} that no container sees",
                hint="please report it; meanwhile build with --squash none",
                kept="the image as it was built",
            )


def _first_names(table: Table) -> dict[int, str]:
    """For every thing the first of its names: two tables group their links alike when these agree path by path."""
    first: dict[int, str] = {}
    for path in sorted(table):
        first.setdefault(id(table[path]), path)
    return first


@contextmanager
def _contents() -> Iterator[Callable[[_Thing], str | None]]:
    """A function that gives a thing's content digest, reading it where that was not done in passing."""
    archives: dict[Path, tarfile.TarFile] = {}

    def digest(thing: _Thing) -> str | None:
        if thing.digest is None and thing.archive is not None and thing.entry is not None:
            if thing.archive not in archives:
                archives[thing.archive] = _open(name=thing.archive)
            file = archives[thing.archive].extractfile(thing.entry)
            assert file is not None
            with file:
                thing.digest = _hash(file)
        return thing.digest

    try:
        yield digest
    finally:
        for archive in archives.values():
            archive.close()


Entry = tuple[tarfile.TarInfo, _Thing | None]  # None for a hard link, which is whatever it links to


def _read_plain(path: Path) -> Iterator[Entry]:
    with _open(name=path) as archive:
        for entry in archive:
            yield entry, None if entry.islnk() else _Thing(_facts(entry), path if entry.isreg() else None, entry)


def _read_blob(path: Path, diff_id: str | None, subject: str) -> Iterator[Entry]:
    """The entries of a gzipped layer with their contents hashed in passing; at its end, the digest of all of it."""
    try:
        with _unpacked(path) as unpacked:
            stream = _Hashing(unpacked)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, **_TEXT) as archive:  # type: ignore[call-overload]
                for entry in archive:
                    thing = None if entry.islnk() else _Thing(_facts(entry))
                    if thing is not None and entry.isreg():
                        file = archive.extractfile(entry)
                        assert file is not None
                        thing.digest = _hash(file)
                    yield entry, thing
            while stream.read(_CHUNK):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, zstd.ZstdError) as error:
        raise SquashError("proof-failed", subject, f"the merged layer cannot be read: {error}") from error
    if stream.digest != diff_id:
        raise SquashError("proof-failed", subject, f"the merged layer is {stream.digest}, not {diff_id}")


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(len(zstd.MAGIC))
    return zstd.open_file(path) if magic == zstd.MAGIC else cast(IO[bytes], gzip.open(path, "rb"))


_TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}


def _open(*, name: Path) -> tarfile.TarFile:
    return tarfile.open(name=name, mode="r:", encoding="utf-8", errors="surrogateescape")


def _facts(entry: tarfile.TarInfo) -> tuple[object, ...]:
    kind = "folder" if entry.isdir() else "file" if entry.isreg() else entry.type.decode()
    time = entry.pax_headers.get("mtime")
    return (
        kind,
        entry.mode & 0o7777,
        entry.uid,
        entry.gid,
        Decimal(time) if time is not None else Decimal(int(entry.mtime)),
        entry.linkname if entry.issym() else "",
        (entry.devmajor, entry.devminor) if entry.isdev() and not entry.isfifo() else (0, 0),
        tuple(sorted(pair for pair in entry.pax_headers.items() if pair[0].startswith("SCHILY.xattr."))),
        entry.size if entry.isreg() else 0,
    )


def _apply(table: Table, entries: Iterable[Entry], check: Callable[[], None]) -> None:
    """One layer on the table: first everything it hides of what was there, then everything it brings."""
    hidden: list[str] = []
    cleared: list[str] = []
    brought: Table = {}
    links: list[tuple[str, str]] = []
    asides: Table = {}
    copies: dict[int, _Thing] = {}
    for entry, thing in entries:
        check()
        path = _canonical(entry.name)
        folder, _, name = path.rpartition("/")
        if path.startswith(".wh..wh.") and path != _OPAQUE:
            if thing is not None:
                asides[path] = thing
        elif name == _OPAQUE:
            cleared.append(folder)
        elif name.startswith(".wh..wh."):
            continue
        elif name.startswith(_MARK):
            hidden.append(f"{folder}/{name[4:]}" if folder else name[4:])
        elif thing is None:
            links[:] = [link for link in links if link[0] != path]
            if not _link(path, _canonical(entry.linkname), brought, asides, table, copies):
                links.append((path, _canonical(entry.linkname)))
        else:
            _bring(path, thing, brought)
            links[:] = [link for link in links if link[0] != path]
    while any(_link(path, target, brought, asides, table, copies) for path, target in list(links)):
        links[:] = [link for link in links if link[0] not in brought]
    _hide(table, hidden, cleared)
    _cover(table, brought, [*cleared, *(path.rpartition("/")[0] for path in hidden)])


def _bring(path: str, thing: _Thing, brought: Table) -> None:
    if thing.facts[0] != "folder" and path in brought and brought[path].facts[0] == "folder":
        for below in [other for other in brought if other.startswith(f"{path}/")]:
            del brought[below]
    brought[path] = thing


def _link(path: str, target: str, brought: Table, asides: Table, table: Table, copies: dict[int, _Thing]) -> bool:
    """Gives what `target` is the name `path` too, if it is known yet. A lower layer's file is copied, once a layer."""
    thing = asides.get(target) or brought.get(target)
    if thing is None and target in table and table[target].facts[0] != "folder":
        lower = table[target]
        copy = _Thing(lower.facts, lower.archive, lower.entry, lower.digest)
        thing = copies.setdefault(id(lower), copy)
    if thing is None:
        return False
    _bring(path, thing, brought)
    return True


def _hide(table: Table, hidden: list[str], cleared: list[str]) -> None:
    if not hidden and not cleared:
        return
    gone, emptied = set(hidden), set(cleared)
    for path in list(table):
        parents = _parents(path)
        if path and (path in gone or not gone.isdisjoint(parents) or not emptied.isdisjoint(parents)):
            del table[path]


def _cover(table: Table, brought: Table, touched: list[str]) -> None:
    """What a layer brings replaces what is there: a folder keeps what is in a folder, all else covers it."""
    implied = {parent for path in brought for parent in _parents(path) if parent} | {path for path in touched if path}
    implied |= {parent for path in touched for parent in _parents(path) if parent}
    for path in implied - brought.keys():
        if path not in table or table[path].facts[0] != "folder":
            brought[path] = _Thing(_IMPLIED)
    covering = {
        path
        for path, thing in brought.items()
        if path in table and path and (thing.facts[0] != "folder" or table[path].facts[0] != "folder")
    }
    if covering:
        for path in list(table):
            if path in covering or not covering.isdisjoint(_parents(path)):
                del table[path]
    table.update(brought)


def _parents(path: str) -> list[str]:
    """Every folder above `path`, the root as the empty text."""
    found = [""]
    position = path.find("/")
    while position > 0:
        found.append(path[:position])
        position = path.find("/", position + 1)
    return found if path else []


def _canonical(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _hash(file: Iterable[bytes] | BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):  # type: ignore[union-attr]
        digest.update(chunk)
    return digest.hexdigest()


class _Hashing:
    """A stream that knows the digest of what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def _shown(path: str) -> str:
    return shown(path.encode("utf-8", "surrogateescape"))
