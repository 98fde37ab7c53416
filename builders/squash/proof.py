"""The proof: what a container sees before and after, read anew and compared.

What it trusts, and what not. Nothing of the squash is used but its way to show a path: neither its reader nor its trees
nor its plan nor the offsets it found contents at. Two things are taken from elsewhere, and both are checked by digests:

- The bytes of the source layers, as files or as pieces that put together make the tar. Whoever gives them sees to it
  that all of them have the diff-ID's digest (`Layer`, `Layer.verify`). Pieces decide nothing here: headers are told
  from contents by what the headers say (`witness`), and a piece that does not fall so is refused.
- The bytes of the merged layer, which are fed to the proof as they are fed to the compressor, in the same order; that
  the blob inflates to them is shown by whoever packs it, block by block.

Each content of the result is compared, as it goes by, with the content that the source layers have for its path, at the
place where this module found it: byte for byte, read a second time; or, of small files that would have to be opened for
that, by sha256 with the bytes that are read to verify the layer (`Proof.see`). What is the same lies, from then on, in
that place; so two trees have the same contents where the places are the same.

Where the two programs disagree the image is not published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builders.errors import SquashError
from builders.squash.contents import Contents
from builders.squash.member import shown
from builders.squash.pieces import Content
from builders.squash.source import Layer
from builders.squash.witness import IMPLIED, Entry, Thing, Unreadable, Witness, digest_of

_WINDOW = 256 << 10
_SHOWN = 10
_OFTEN = 1024  # paths between two looks at whether to go on
_MARK = b".wh."
_OPAQUE = b".wh..wh..opq"
_ASIDE = b".wh..wh."

Table = dict[bytes, Thing]
"""A tree: every path of it, no slash around it, and what is there."""


class Proof:
    """Compares `base` + `merged` with `base` + the layer whose bytes are fed. It reads the source layers' headers when
    it is made, so that what comes can be compared in passing.

    Equal are paths, types, modes, owners, times, link targets, hard-link groups, extended attributes, device numbers,
    sizes and contents. Raises SquashError ``proof-failed`` for layers that cannot be read.
    """

    def __init__(
        self, *, base: Iterable[Layer], merged: Iterable[Layer], subject: str, check: Callable[[], None]
    ) -> None:
        self._subject = subject
        self._check = check
        try:
            self._below = read_tree(base, check)
            self._before = read_tree(merged, check, self._below)
        except Unreadable as error:
            raise self._failed(f"a layer cannot be read: {error}") from error
        self._witness = Witness(expected=self._before.get)

    def feed(self, data: bytes) -> None:
        """The next bytes of the merged layer. Raises SquashError ``proof-failed`` where they are no tar."""
        try:
            self._witness.feed(data)
        except Unreadable as error:
            raise self._failed(f"the merged layer cannot be read: {error}") from error

    def see(self, content: Content, data: bytes) -> None:
        """A content of a source layer, as it was read to verify that layer. Several threads may call."""
        self._witness.see(content.path, content.offset, data)

    def conclude(self, size: int) -> int:
        """The number of paths compared, when all of the merged layer's `size` bytes have been fed; 0 for no layer.

        Raises SquashError ``proof-failed`` with the first ten paths that differ.
        """
        try:
            return self._conclude(size)
        except Unreadable as error:
            raise self._failed(f"a layer cannot be read: {error}") from error

    def _conclude(self, size: int) -> int:
        entries = self._witness.finish()
        if self._witness.size != size:
            raise self._failed(f"the merged layer has {size} bytes, and {self._witness.size} of them were seen")
        after = dict(self._below)
        _apply(after, entries, self._check)
        differing = [_in_words(difference) for difference in compare(self._before, after, self._check)]
        if differing:
            more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
            raise self._failed(f"squashing would change {len(differing)} paths: {'; '.join(differing[:_SHOWN])}{more}")
        self._refuse_unseen(entries, after)
        return len(self._before)

    def _refuse_unseen(self, entries: Iterable[Entry], after: Table) -> None:
        """What the merged layer stores and nobody sees could be read out of it by who has the layer: a key, a
        password."""
        seen = {id(thing) for thing in after.values()}
        for path, thing, _ in entries:
            if thing is not None and thing.size and id(thing) not in seen:
                raise self._failed(f"the merged layer holds a {_shown(path)} that no container sees")

    def _failed(self, message: str) -> SquashError:
        return SquashError(
            "proof-failed",
            self._subject,
            message,
            hint="please report it; meanwhile build with --squash none",
            kept="the image as it was built",
        )


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


def read_tree(layers: Iterable[Layer], check: Callable[[], None], below: Table | None = None) -> Table:
    """What uncompressed layers amount to, on top of the tree `below`, which stays as it is. Raises Unreadable, and
    OSError where a layer is gone."""
    table = dict(below or {})
    for layer in layers:
        _apply(table, _entries(layer, check), check)
    return table


def compare(
    before: Table, after: Table, check: Callable[[], None], *, ignore: frozenset[str] = frozenset()
) -> Iterator[Difference]:
    """The paths that differ, sorted. What is to be ignored of them is not looked at. Raises OSError where a content
    cannot be read."""
    if _alike(before, after):
        return
    # Two trees group their links alike when the first names of what is at a path are the same, path by path.
    first_before: dict[int, bytes] = {}
    first_after: dict[int, bytes] = {}
    with Contents() as contents:
        for number, path in enumerate(sorted(before.keys() | after.keys())):
            if number % _OFTEN == 0:
                check()
            old, new = before.get(path), after.get(path)
            name_before = first_before.setdefault(id(old), path) if old is not None else path
            name_after = first_after.setdefault(id(new), path) if new is not None else path
            if old is None or new is None:
                yield Difference(path=_shown(path), change=Change.ADDED if old is None else Change.REMOVED)
            elif old is not new or name_before != name_after:
                what = [LINKS] if name_before != name_after else []
                if old is not new:
                    what += _other_facts(old, new, contents)
                found = tuple(name for name in what if name not in ignore)
                if found:
                    yield Difference(path=_shown(path), change=Change.CHANGED, what=found)


def _alike(before: Table, after: Table) -> bool:
    """Whether two trees are the same at first sight, in whatever order; where not, they may be still."""
    if before.keys() != after.keys():
        return False
    names_before: dict[int, bytes] = {}
    names_after: dict[int, bytes] = {}
    for path, old in before.items():
        new = after[path]
        if names_before.setdefault(id(old), path) != names_after.setdefault(id(new), path):
            return False
        if old is not new and not (old.looks_like(new) and old.lies_with(new)):
            return False
    return True


def _other_facts(old: Thing, new: Thing, contents: Contents) -> list[str]:
    """Of things of two kinds nothing else is worth saying; a file of another size has another content."""
    what: list[str] = []
    if not old.looks_like(new):
        ones, others = old.facts(), new.facts()
        if ones[0] != others[0]:
            return [FACTS[0]]
        what = [name for name, one, other in zip(FACTS, ones, others, strict=True) if one != other]
    if old.size and CONTENT not in what and not _same_content(old, new, contents):
        what.append(CONTENT)
    return what


def _same_content(old: Thing, new: Thing, contents: Contents) -> bool:
    """Of two of the same size."""
    if old.path is None or new.path is None:
        return old.lies_with(new)
    if old.lies_with(new):
        return True
    return digest_of(old, contents) == digest_of(new, contents)


def _in_words(found: Difference) -> str:
    if found.change is not Change.CHANGED:
        return f"{found.path} {'appears' if found.change is Change.ADDED else 'is missing'}"
    if LINKS in found.what:
        return f"{found.path} has other hard links"
    if found.what == (CONTENT,):
        return f"{found.path} has other content"
    return f"{found.path} has other attributes ({', '.join(found.what)})"


def _entries(layer: Layer, check: Callable[[], None]) -> list[Entry]:
    """A source layer's entries, contents passed by."""
    if layer.split is not None:
        witness = Witness()
        for number, piece in enumerate(layer.split.pieces()):
            if number % _OFTEN == 0:
                check()
            if isinstance(piece, Content):
                witness.refer(piece.path, piece.offset, piece.size)
            else:
                witness.feed(piece)
        return witness.finish()
    assert layer.path is not None, f"{layer.diff_id} was not to be read"
    return _entries_of_file(layer.path, layer.offset, layer.size, check)


def _entries_of_file(path: Path, offset: int, size: int, check: Callable[[], None]) -> list[Entry]:
    witness = Witness(file=(path, offset))
    with Contents() as contents:
        position = 0
        while position < size:
            check()
            window = min(_WINDOW, size - position)
            witness.feed(contents.span(path, offset + position, window))
            position += window
            if witness.passable:
                position += witness.passable
                witness.pass_by()
    if position > size:
        raise Unreadable("it is cut short in a content")
    return witness.finish()


def _apply(table: Table, entries: Sequence[Entry], check: Callable[[], None]) -> None:
    """One layer on the table: first everything it hides of what was there, then everything it brings."""
    check()
    change = _Change(table)
    for path, thing, target in entries:
        if _MARK not in path or not change.takes_marker(path, thing):
            change.bring(path, thing, target)
    change.connect_waiting()
    _hide(table, change.hidden, change.cleared)
    _cover(table, change.brought, [*change.cleared, *(path.rpartition(b"/")[0] for path in change.hidden)])


class _Change:
    """One layer on its own: what it hides of `lower`, and what it brings."""

    def __init__(self, lower: Table) -> None:
        self.hidden: list[bytes] = []
        self.cleared: list[bytes] = []
        self.brought: Table = {}
        self._lower = lower
        self._waiting: dict[bytes, bytes] = {}  # links whose target is not known yet
        self._asides: Table = {}
        self._copies: dict[int, Thing] = {}

    def takes_marker(self, path: bytes, thing: Thing | None) -> bool:
        """Whether the entry says what the layer hides, or is one of AUFS's own."""
        folder, _, name = path.rpartition(b"/")
        if path.startswith(_ASIDE) and path != _OPAQUE:
            if thing is not None:
                self._asides[path] = thing
        elif name == _OPAQUE:
            self.cleared.append(folder)
        elif not name.startswith(_MARK):
            return False
        elif not name.startswith(_ASIDE):
            self.hidden.append(folder + b"/" + name[len(_MARK) :] if folder else name[len(_MARK) :])
        return True

    def bring(self, path: bytes, thing: Thing | None, target: bytes) -> None:
        """Takes in what is at `path`, a hard link to `target` where that is None. Of several the last counts."""
        if self._waiting:
            self._waiting.pop(path, None)
        if thing is not None:
            self._put(path, thing)
        elif not self._connect(path, target):
            self._waiting[path] = target

    def connect_waiting(self) -> None:
        """The links that came before their targets."""
        while self._waiting:
            done = [path for path, target in self._waiting.items() if self._connect(path, target)]
            if not done:
                return
            for path in done:
                del self._waiting[path]

    def _put(self, path: bytes, thing: Thing) -> None:
        there = self.brought.get(path)
        if there is not None and there.is_folder and not thing.is_folder:
            for below in [other for other in self.brought if other.startswith(path + b"/")]:
                del self.brought[below]
        self.brought[path] = thing

    def _connect(self, path: bytes, target: bytes) -> bool:
        """Gives what `target` is the name `path` too, if it is known. A lower layer's file is copied, once a layer."""
        thing = self._asides.get(target) or self.brought.get(target)
        if thing is None:
            lower = self._lower.get(target)
            if lower is not None and not lower.is_folder:
                thing = self._copies.setdefault(id(lower), lower.copy())
        if thing is None:
            return False
        self._put(path, thing)
        return True


def _hide(table: Table, hidden: list[bytes], cleared: list[bytes]) -> None:
    """Takes away what is hidden, and all that is below it."""
    trees = set()
    for path in hidden:
        thing = table.pop(path, None)
        if thing is None or thing.is_folder:
            trees.add(path)
    _prune(table, trees | set(cleared))


def _prune(table: Table, folders: set[bytes]) -> None:
    """Takes away all that is below those folders; the empty path is above everything."""
    if not folders:
        return
    doomed: dict[bytes, bool] = {b"": b"" in folders}

    def is_doomed(folder: bytes) -> bool:
        known = doomed.get(folder)
        if known is None:
            known = doomed[folder] = folder in folders or is_doomed(folder.rpartition(b"/")[0])
        return known

    for path in [path for path in table if path and is_doomed(path.rpartition(b"/")[0])]:
        del table[path]


def _cover(table: Table, brought: Table, touched: list[bytes]) -> None:
    """What a layer brings replaces what is there: a folder keeps what is in a folder, all else covers it."""
    known: set[bytes] = {b""}
    folders = [path.rpartition(b"/")[0] for path in brought] + touched
    for folder in folders:
        while folder not in known:
            known.add(folder)
            folder = folder.rpartition(b"/")[0]  # noqa: PLW2901 - upwards, until one that has been seen
    for path in known:
        if path and path not in brought:
            there = table.get(path)
            if there is None or not there.is_folder:
                implied = IMPLIED.copy()
                brought[path] = implied
    covered = set()
    for path, thing in brought.items():
        if path and not thing.is_folder:
            there = table.get(path)
            if there is not None and there.is_folder:
                covered.add(path)
    _prune(table, covered)
    table.update(brought)


def _shown(path: bytes) -> str:
    return shown(path)
