"""File trees, and how a layer changes one.

The reading is that of the image specification ("Applying Changesets") with the literal view of overlay file systems: a
whiteout hides what lies below its layer and never what the layer itself brings, whatever the order; a path is never
followed through a symlink; what replaces a folder hides all of it.

A hard link's identity is the `Inode` that several names share. A link to a file that only a lower layer has becomes a
file of its own with the same content, as when an overlay copies a file up; the links that one layer makes to
the same lower file stay one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from builders.errors import SquashError
from builders.squash.member import AUFS, AUFS_LINKS, OPAQUE, WHITEOUT, Kind, Member, shown

IMPLICIT = Member(path=b"", kind=Kind.DIRECTORY, mode=0o755, uid=0, gid=0, mtime="0")
"""What a folder is that no layer has an entry for: what engines make of it, at a fixed time."""


@dataclass(slots=True, eq=False)
class Inode:
    """Anything but a folder. `layer` is the number of the layer that brought it, counted from the bottom."""

    member: Member
    layer: int


@dataclass(slots=True, eq=False)
class Directory:
    """A folder. `layer` is that of its last entry, or of the layer that implied it. `whiteouts` and `opaque` are set
    only in the tree of a single layer, and say what that layer hides of the ones below."""

    member: Member | None
    layer: int
    children: dict[bytes, Node] = field(default_factory=dict)
    whiteouts: set[bytes] = field(default_factory=set)
    opaque: bool = False


Node = Directory | Inode


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """What layers make: `final` all of them, `below` those below number `start` (None where that was not asked for).
    `hidden` are the files, with their layers' numbers, that are stored and not seen in the end."""

    start: int | None
    below: Directory | None
    final: Directory
    hidden: tuple[tuple[int, Member], ...] = ()


def build_tree(layers: Iterable[Iterable[Member]], subject: str) -> Directory:
    """The merged tree of `layers`, lowest first."""
    root = Directory(None, 0)
    for number, members in enumerate(layers):
        apply_layer(root, members, number, subject)
    return root


def apply_layer(root: Directory, members: Iterable[Member], number: int, subject: str) -> None:
    """Changes `root` as the layer of that `number` does. Raises SquashError."""
    upper = _LayerTree(number, root, subject)
    for member in members:
        upper.add(member)
    upper.resolve_waiting()
    _merge(root, upper.root)


def copy_tree(directory: Directory) -> Directory:
    """A tree that later layers do not change: folders copied, everything else shared."""
    copied = Directory(directory.member, directory.layer)
    for name, node in directory.children.items():
        copied.children[name] = copy_tree(node) if isinstance(node, Directory) else node
    return copied


def walk(directory: Directory, path: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    """Every node below `directory` with its path, folders before what is in them, names in order of their bytes."""
    for name in sorted(directory.children):
        node = directory.children[name]
        here = path + b"/" + name if path else name
        yield here, node
        if isinstance(node, Directory):
            yield from walk(node, here)


def find(directory: Directory, path: bytes) -> Node | None:
    """The node at `path`, no symlink followed."""
    node: Node = directory
    for name in path.split(b"/") if path else ():
        if not isinstance(node, Directory) or name not in node.children:
            return None
        node = node.children[name]
    return node


class _LayerTree:
    """One layer on its own: what it brings, and what it hides."""

    def __init__(self, number: int, lower: Directory, subject: str) -> None:
        self.root = Directory(None, number)
        self._number = number
        self._lower = lower
        self._subject = subject
        self._raised: dict[int, Inode] = {}  # by the lower Inode's id: the one that this layer's links share
        self._aufs_links: dict[bytes, Inode] = {}
        self._waiting: list[Member] = []
        self._here: Directory | None = None  # the folder of the last entry, for its siblings
        self._here_path = b""

    def add(self, member: Member) -> None:
        """Takes in one entry. Of several with the same path the last counts."""
        path, kind = member.path, member.kind
        if WHITEOUT in path and self._take_marker(member):
            return
        if not path:
            if kind is Kind.DIRECTORY:
                self.root.member = member
            return
        head, _, name = path.rpartition(b"/")
        if self._here is None or head != self._here_path:
            self._here, self._here_path = self._folder(head, member), head
        parent = self._here
        if self._waiting:
            self._waiting = [other for other in self._waiting if other.path != path]
        existing = parent.children.get(name)
        if kind is Kind.DIRECTORY:
            if isinstance(existing, Directory):
                existing.member = member
            else:
                parent.children[name] = Directory(member, self._number)
            return
        if kind is Kind.HARDLINK:
            self._link(member, parent)
        else:
            parent.children[name] = Inode(member, self._number)
        if isinstance(existing, Directory):
            self._here = None  # it may have been in there

    def resolve_waiting(self) -> None:
        """Links that came before their target: each waits for an entry of its layer, or for another such link."""
        waiting = self._waiting
        while waiting:
            left = [member for member in waiting if not self._connect(member)]
            if len(left) == len(waiting):
                member = left[0]
                is_folder = find(self.root, member.link) is not None or find(self._lower, member.link) is not None
                state = "is a folder" if is_folder else "is in no layer up to it"
                self._refuse("dangling-hardlink", member, f"it is a hard link to {shown(member.link)}, which {state}")
            waiting = left

    def _link(self, member: Member, parent: Directory) -> None:
        if not self._connect(member):
            parent.children.pop(member.name, None)
            self._waiting.append(member)

    def _connect(self, member: Member) -> bool:
        """Whether the link's target is there by now, in this layer or below; the name then is one of its names."""
        target = self._aufs_links.get(member.link) or find(self.root, member.link)
        if target is None:
            lower = find(self._lower, member.link)
            if isinstance(lower, Inode):
                target = self._raised.setdefault(id(lower), Inode(lower.member, self._number))
        if not isinstance(target, Inode):
            return False
        self._folder(member.parent, member).children[member.name] = target
        return True

    def _take_marker(self, member: Member) -> bool:
        """Whether the entry is a whiteout, the opaque marker, or one of AUFS's own files; the first two are noted."""
        name, parent = member.name, member.parent
        folders = parent.split(b"/")
        if folders[0] == AUFS_LINKS:
            self._aufs_links[member.path] = Inode(member, self._number)
        if folders[0].startswith(AUFS):
            return True
        if any(part.startswith(WHITEOUT) for part in folders):
            self._refuse("invalid-whiteout", member, "a folder on its way has a whiteout's name")
        if not name.startswith(WHITEOUT):
            return False
        if name == OPAQUE:
            self._folder(parent, member).opaque = True
        elif not name.startswith(AUFS):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in (b"", b".", b".."):
                self._refuse("invalid-whiteout", member, "it is a whiteout of nothing")
            self._folder(parent, member).whiteouts.add(hidden)
        return True

    def _folder(self, path: bytes, member: Member) -> Directory:
        """The folder at `path` in this layer, made without an entry where there is none."""
        here = self.root
        for name in path.split(b"/") if path else ():
            node = here.children.get(name)
            if node is None:
                node = here.children[name] = Directory(None, self._number)
            elif isinstance(node, Inode):
                kind = node.member.kind
                code = "symlinked-parent" if kind is Kind.SYMLINK else "layer-damaged"
                self._refuse(code, member, f"its parent is a {kind} in the same layer")
            here = node
        return here

    def _refuse(self, code: str, member: Member, message: str) -> NoReturn:
        raise SquashError(code, f"{self._subject} layer {self._number + 1}", f"{shown(member.path)}: {message}")


def _merge(lower: Directory, upper: Directory) -> None:
    if upper.opaque:
        lower.children.clear()
    for name in upper.whiteouts:
        lower.children.pop(name, None)
    if upper.member is not None:
        lower.member, lower.layer = upper.member, upper.layer
    for name, node in upper.children.items():
        below = lower.children.get(name)
        if isinstance(node, Directory) and isinstance(below, Directory):
            _merge(below, node)
        elif isinstance(node, Directory):
            lower.children[name] = _without_markers(node)
        else:
            lower.children[name] = node


def _without_markers(directory: Directory) -> Directory:
    """A folder that covers nothing: what it was to hide is not there."""
    directory.whiteouts, directory.opaque = set(), False
    for node in directory.children.values():
        if isinstance(node, Directory):
            _without_markers(node)
    return directory


def renamed(member: Member, path: bytes) -> Member:
    """`member` under another of its names."""
    return member if member.path == path else replace(member, path=path)
