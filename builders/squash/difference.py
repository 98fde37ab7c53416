"""What a layer must hold to make one tree of another: pure, from two trees to entries in the order of writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from builders.squash.member import OPAQUE, WHITEOUT, Kind, Member
from builders.squash.tree import IMPLICIT, Directory, Inode, renamed

MARKER = Member(path=b"", kind=Kind.FILE, mode=0o644, uid=0, gid=0, mtime="0")


def entries(base: Directory | None, final: Directory, since: int) -> list[Member]:
    """The entries that turn `base` into `final`, where the nodes of `final` with a layer of `since` or later are new.

    Without a base everything is written. Folders come before what is in them, whiteouts before their siblings, a hard
    link's target before the link; every folder on the way to a change is written, as it is in `final`. A folder none
    of whose content is the base's gets one opaque marker instead of a whiteout for every name. Nothing is hidden
    twice, and nothing that the base does not have.
    """
    writer = _Writer(since)
    return list(writer.folder(b"", base, final))


class _Writer:
    def __init__(self, since: int) -> None:
        self._since = since
        self._written: dict[int, bytes] = {}  # by Inode id: the name that carries the content

    def folder(self, path: bytes, base: Directory | None, final: Directory) -> Iterator[Member]:
        gone = sorted(name for name in base.children if name not in final.children) if base is not None else []
        # Never at the root: what an opaque root means differs between engines.
        if gone and path and not self._survives(final):
            markers, base = [_marker(path, OPAQUE)], None
        else:
            markers = [_marker(path, WHITEOUT + name) for name in gone]
        content = list(self._children(path, base, final))
        if markers or content or self._is_new(final):
            if path or (final.member is not None and self._is_new(final)):
                yield renamed(final.member or IMPLICIT, path)
            yield from markers
            yield from content

    def _children(self, path: bytes, base: Directory | None, final: Directory) -> Iterator[Member]:
        for name in sorted(final.children):
            node = final.children[name]
            here = path + b"/" + name if path else name
            if isinstance(node, Directory):
                below = base.children.get(name) if base is not None else None
                yield from self.folder(here, below if isinstance(below, Directory) else None, node)
            elif self._is_new(node):
                yield self._entry(here, node)

    def _entry(self, path: bytes, node: Inode) -> Member:
        first = self._written.setdefault(id(node), path)
        member = renamed(node.member, path)
        if first == path:
            return member
        return replace(member, kind=Kind.HARDLINK, link=first, size=0, source=None, sparse=None, device=(0, 0))

    def _is_new(self, node: Directory | Inode) -> bool:
        return node.layer >= self._since

    def _survives(self, directory: Directory) -> bool:
        """Whether anything in `directory` is the base's."""
        for node in directory.children.values():
            if not self._is_new(node) or (isinstance(node, Directory) and self._survives(node)):
                return True
        return False


def _marker(path: bytes, name: bytes) -> Member:
    return replace(MARKER, path=path + b"/" + name if path else name)
