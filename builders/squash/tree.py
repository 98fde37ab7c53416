"""The file tree that a sequence of layers makes, with the identity of inodes.

The reading is that of the OCI image specification ("Image Layer Filesystem Changeset") as overlay engines run it: a
whiteout hides lower layers only, in whatever order it stands in its own; a path that leads through what is no directory
below makes one there. Names are bytes and are never normalised but for ``./``, ``//`` and a slash at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from builders.errors import SquashError
from builders.squash.tarfmt import DIRECTORY, HARD_LINK, Member

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."

Path_ = tuple[bytes, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Inode:
    """A file with its attributes, whatever names it has; compared by identity. `layer` tells where its data lies."""

    member: Member
    layer: int


class Node:
    """A name in the tree: an inode, and children where that is a directory."""

    __slots__ = ("children", "inode")

    def __init__(self, inode: Inode, children: dict[bytes, Node] | None = None) -> None:
        self.inode = inode
        self.children = children

    def copy(self) -> Node:
        """The same names over the same inodes, to be changed apart."""
        children = None if self.children is None else {name: node.copy() for name, node in self.children.items()}
        return Node(self.inode, children)


def empty_tree() -> Node:
    """A root without anything in it."""
    return Node(Inode(Member(name=b"", type=DIRECTORY, mode=0o755), -1), {})


def apply(root: Node, layer: Iterable[Member], index: int) -> None:
    """Lay a layer over a tree, in place. Raises SquashError (`layer-invalid`) for what no engine would take."""
    hidden: list[tuple[Path_, bool]] = []
    entries: list[tuple[Path_, Member]] = []
    for member in layer:
        path = canonical(member.name)
        # The root itself, whose attributes engines leave alone, and AUFS' own bookkeeping.
        if not path or any(part.startswith(AUFS) and part != OPAQUE for part in path):
            continue
        *parents, last = path
        if any(part.startswith(WHITEOUT) for part in parents) or last == WHITEOUT:
            raise _invalid(member.name, "a whiteout is no directory and has a name")
        if last == OPAQUE:
            hidden.append((tuple(parents), True))
        elif last.startswith(WHITEOUT):
            hidden.append(((*parents, last.removeprefix(WHITEOUT)), False))
        else:
            entries.append((path, member))
    for path, opaque in hidden:
        _hide(root, path, opaque=opaque)
    _add_entries(root, entries, index)


def _hide(root: Node, path: Path_, *, opaque: bool) -> None:
    """Take away a path, or with `opaque` all that is in it; what is not there needs no hiding."""
    node = find(root, path if opaque else path[:-1])
    if node is None or node.children is None:
        return
    if opaque:
        node.children.clear()
    else:
        node.children.pop(path[-1], None)


def canonical(name: bytes) -> Path_:
    """The components of a member's name. Raises SquashError (`layer-invalid`) for one that leaves the tree."""
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise _invalid(name, "it leads out of the image")
    return parts


def find(root: Node, path: Path_) -> Node | None:
    """The node at a path, taken literally: links are not followed."""
    node = root
    for part in path:
        if node.children is None or part not in node.children:
            return None
        node = node.children[part]
    return node


def walk(root: Node, prefix: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    """Every path below the root with its node, directories before what is in them, names in the order of bytes."""
    for name in sorted(root.children or ()):
        node = (root.children or {})[name]
        path = prefix + name
        yield path, node
        if node.children:
            yield from walk(node, path + b"/")


def _add_entries(root: Node, entries: list[tuple[Path_, Member]], index: int) -> None:
    late: list[tuple[Path_, Member]] = []
    here: dict[Path_, Inode] = {}
    for path, member in entries:
        if member.type == HARD_LINK:
            target = canonical(member.link)
            inode = here.get(target)
            if inode is None:
                late.append((path, member))
                continue
            _place(root, path, inode, index)
        else:
            inode = Inode(member, index)
            _place(root, path, inode, index)
        here[path] = inode
    # A link before its target, or to a file of a lower layer.
    for path, member in late:
        target = canonical(member.link)
        found = find(root, target)
        inode = here.get(target) or (found.inode if found else None)
        if inode is None or inode.member.type == DIRECTORY:
            raise _invalid(member.name, f"it is a hard link to {_text(member.link)}, which is not there")
        if here.get(path) is None:
            _place(root, path, inode, index)
            here[path] = inode


def _place(root: Node, path: Path_, inode: Inode, index: int) -> None:
    node = root
    for depth, part in enumerate(path[:-1], 1):
        assert node.children is not None
        child = node.children.get(part)
        if child is None or child.children is None:
            # The layer has no entry for this parent: engines make it for root, with mode 0755.
            implicit = Member(name=b"/".join(path[:depth]), type=DIRECTORY, mode=0o755)
            child = node.children[part] = Node(Inode(implicit, index), {})
        node = child
    assert node.children is not None
    existing = node.children.get(path[-1])
    if inode.member.type != DIRECTORY:
        node.children[path[-1]] = Node(inode)
    elif existing is not None and existing.children is not None:
        existing.inode = inode
    else:
        node.children[path[-1]] = Node(inode, {})


def _invalid(name: bytes, what: str) -> SquashError:
    return SquashError(
        "layer-invalid", _text(name), what, hint="the layer was not made by an engine; rebuild the image"
    )


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
