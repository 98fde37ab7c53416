"""The one layer that turns a base tree into another: what is new or changed, its parents, whiteouts for what is gone.
 Pure; the bytes of files stay where they are.

Because it is the difference of two trees and no concatenation of layers, what was added and removed on the way leaves
no trace, a directory that was removed and made again hides its old content, and links are whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from builders.squash.tarfmt import DIRECTORY, HARD_LINK, REGULAR, Member
from builders.squash.tree import WHITEOUT, Inode, Node, walk


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A member to write; `source` has its data (None: it has none)."""

    member: Member
    source: Inode | None = None


def difference(base: Node, final: Node) -> Iterator[Planned]:
    """The members of the layer, in the order of paths: a directory before its content, whiteouts before siblings, the
    first name of an inode before its other ones. Nothing where the trees are equal."""
    changed = _changed_inodes(base, final)
    first_names: dict[Inode, bytes] = {}
    yield from _directory(base, final, b"", changed, first_names)


def attributes(member: Member) -> tuple[object, ...]:
    """What a file has besides its name and its data."""
    return (
        member.type,
        member.mode,
        member.uid,
        member.gid,
        member.mtime,
        member.link,
        member.device,
        tuple(sorted(member.pax.items())),
    )


def _directory(
    base: Node | None, final: Node, prefix: bytes, changed: set[Inode], first_names: dict[Inode, bytes]
) -> Iterator[Planned]:
    """What is to be written below one directory; the caller writes the directory itself if anything comes."""
    before = (base.children if base else None) or {}
    after = final.children or {}
    for name in sorted(before.keys() - after.keys()):
        whiteout = Member(name=prefix + WHITEOUT + name, type=REGULAR, mode=0, mtime=final.inode.member.mtime)
        yield Planned(member=whiteout)
    for name in sorted(after):
        node, old, path = after[name], before.get(name), prefix + name
        if node.children is None:
            if node.inode in changed or old is None or old.inode is not node.inode:
                yield _file(node.inode, path, first_names)
            continue
        # Old children lie below a directory only: what else was there is hidden by the new directory itself.
        lower = old if old is not None and old.children is not None else None
        below = _directory(lower, node, path + b"/", changed, first_names)
        head = next(below, None)
        same = lower is not None and attributes(lower.inode.member) == attributes(node.inode.member)
        if head is not None or not same:
            yield Planned(member=replace(node.inode.member, name=path, size=0))
        if head is not None:
            yield head
            yield from below


def _file(inode: Inode, path: bytes, first_names: dict[Inode, bytes]) -> Planned:
    first = first_names.setdefault(inode, path)
    if first != path:
        return Planned(member=replace(inode.member, name=path, type=HARD_LINK, link=first, size=0, pax={}))
    has_data = inode.member.type == REGULAR and inode.member.size > 0
    return Planned(member=replace(inode.member, name=path), source=inode if has_data else None)


def _changed_inodes(base: Node, final: Node) -> set[Inode]:
    """Inodes of the base that got a new name: all their names go into the layer, or the link would be lost."""
    old: dict[Inode, set[bytes]] = {}
    for path, node in walk(base):
        if node.inode.member.type != DIRECTORY:
            old.setdefault(node.inode, set()).add(path)
    return {
        node.inode
        for path, node in walk(final)
        if node.inode.member.type != DIRECTORY and node.inode in old and path not in old[node.inode]
    }
