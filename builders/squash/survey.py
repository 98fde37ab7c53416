"""What layers hold and what of it is still seen: who wasted what, the largest files, the ones that raise rights.

Bytes are those of a file's entry in its layer's tar: a header and the padded content. An entry is wasted where no name
of the finished tree leads to its content; a file that several layers have is counted as often as it is stored, and no
byte twice.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from builders.limits import Limits
from builders.squash.member import AUFS, OPAQUE, WHITEOUT, Kind, Member, shown
from builders.squash.source import Layer
from builders.squash.tarbytes import BLOCK
from builders.squash.tree import Directory, Inode, Trees, apply_layer, copy_tree, walk

SHOWN = 20
"""Files of each kind that a survey names, the largest ones."""
SECRETS = re.compile(
    r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|\.env|\.netrc|\.npmrc|\.pypirc|\.pgpass|\.git-credentials|\.docker/config\.json"
    r"|\.aws/credentials|credentials\.json|[^/]+\.(key|p12|pfx|kdbx|jks))$",
    re.IGNORECASE,
)
"""Names under which people keep keys and passwords."""
_RAISING = 0o6000  # setuid and setgid


class How(StrEnum):
    """How a file came to be of no use."""

    REWRITTEN = "rewritten"
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Waste:
    """A file that is stored in `layer` and seen no more, since the layer `by`; numbers from 0, at the bottom."""

    path: str
    size: int
    layer: int
    by: int
    how: How


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenFile:
    """A file of the finished tree, of `size` bytes, from `layer`; `mode` has its permissions."""

    path: str
    size: int
    layer: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSurvey:
    """A layer's entries, the bytes of it that are `wasted`, and those that it `wastes` of the layers up to it."""

    diff_id: str
    size: int
    entries: int
    files: int
    wasted: int
    wastes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What was found, layers from the bottom up. `waste`, `largest` and `raising` (setuid and setgid files) are the
    largest ones of each, largest first; `waste_files` counts all that is wasted. `secrets` are wasted
    files with the names of keys and passwords: no container sees them, and whoever has the layer can read them."""

    layers: tuple[LayerSurvey, ...]
    waste: tuple[Waste, ...]
    waste_files: int
    secrets: tuple[Waste, ...]
    largest: tuple[SeenFile, ...]
    raising: tuple[SeenFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def wasted(self) -> int:
        """Bytes that could be saved, each counted once."""
        return sum(layer.wasted for layer in self.layers)

    @property
    def efficiency(self) -> float:
        """The share of the bytes that is seen: 1 where nothing is wasted."""
        return 1 - self.wasted / self.size if self.size else 1.0


def survey_layers(
    layers: Sequence[Layer], *, subject: str, check: Callable[[], None], limits: Limits | None = None
) -> Survey:
    """Reads the headers of all layers. Raises SquashError ``layer-damaged``, ``unsafe-path`` and the like; ImageError
    ``too-many-entries``."""
    return survey_trees(layers, subject=subject, check=check, limits=limits)[0]


def survey_trees(
    layers: Sequence[Layer],
    *,
    subject: str,
    check: Callable[[], None],
    limits: Limits | None = None,
    start: int | None = None,
) -> tuple[Survey, Trees]:
    """The same, with the trees that the layers make, all of them and those below number `start`: who merges them next
    need not read them again."""
    tree, surveyed = Directory(None, 0), _Surveyed(subject, limits)
    below: Directory | None = None
    for number, layer in enumerate(layers):
        check()
        if number == start:
            below = copy_tree(tree)
        apply_layer(tree, surveyed.passing(number, layer.members(subject)), number, subject)
    survey = surveyed.result(layers, tree)
    return survey, Trees(start=start, below=below, final=tree, hidden=tuple(surveyed.hidden))


@dataclass(slots=True)
class _Traces:
    """The paths that a layer puts something at: `covering` what is no folder, and what it hides; folders apart."""

    covering: set[bytes] = field(default_factory=set)
    folders: set[bytes] = field(default_factory=set)
    hidden: set[bytes] = field(default_factory=set)
    entries: int = 0
    files: int = 0


class _Surveyed:
    def __init__(self, subject: str, limits: Limits | None) -> None:
        self._subject = subject
        self._limits = limits
        self._count = 0
        self._traces: list[_Traces] = []
        self._stored: list[list[Member]] = []
        """Of each layer the entries that have a content."""
        self.hidden: list[tuple[int, Member]] = []
        """Those of them that are not seen in the end, with their layers' numbers; known with the result."""

    def passing(self, number: int, members: Iterable[Member]) -> Iterator[Member]:
        """The members as they come, taken note of."""
        traces = _Traces()
        self._traces.append(traces)
        self._stored.append([])
        for member in members:
            self._count += 1
            traces.entries += 1
            if self._limits is not None and self._count % 1000 == 0:
                self._limits.check_entries(self._count, self._subject)
            path, kind = member.path, member.kind
            if WHITEOUT in path and _marks(member, traces):
                pass
            elif kind is Kind.DIRECTORY:
                traces.folders.add(path)
            else:
                traces.covering.add(path)
                if kind is Kind.FILE:
                    traces.files += 1
                    if member.source is not None:
                        self._stored[number].append(member)
            yield member
        if self._limits is not None:
            self._limits.check_entries(self._count, self._subject)

    def result(self, layers: Sequence[Layer], tree: Directory) -> Survey:
        seen: set[int] = set()  # the ids of entries, which `_stored` keeps
        files: dict[int, tuple[bytes, Inode]] = {}  # one name of each
        for path, node in walk(tree):
            if isinstance(node, Inode) and node.member.kind is Kind.FILE:
                files.setdefault(id(node), (path, node))
                seen.add(id(node.member))
        largest = heapq.nsmallest(SHOWN, files.values(), key=lambda found: (-found[1].member.size, found[0]))
        raising = sorted((found for found in files.values() if found[1].member.mode & _RAISING), key=lambda it: it[0])
        wasted, wastes = defaultdict[int, int](int), defaultdict[int, int](int)
        waste = []
        for number, members in enumerate(self._stored):
            for member in members:
                if id(member) not in seen:
                    self.hidden.append((number, member))
                    size = _stored_size(member)
                    by, how = self._culprit(number, member.path)
                    wasted[number] += size
                    wastes[by] += size
                    waste.append(Waste(path=shown(member.path), size=size, layer=number, by=by, how=how))
        return Survey(
            layers=tuple(
                LayerSurvey(
                    diff_id=layer.diff_id,
                    size=layer.size,
                    entries=traces.entries,
                    files=traces.files,
                    wasted=wasted[number],
                    wastes=wastes[number],
                )
                for number, (layer, traces) in enumerate(zip(layers, self._traces, strict=True))
            ),
            waste=tuple(heapq.nsmallest(SHOWN, waste, key=lambda found: (-found.size, found.path, found.layer))),
            waste_files=len(waste),
            secrets=tuple(found for found in waste if SECRETS.search(found.path)),
            largest=tuple(_seen(path, node) for path, node in largest),
            raising=tuple(_seen(path, node) for path, node in raising),
        )

    def _culprit(self, layer: int, path: bytes) -> tuple[int, How]:
        """The first layer that hides what `layer` has at `path`; that layer itself, where it has the path twice."""
        above = _parents(path)
        for number in range(layer + 1, len(self._traces)):
            traces = self._traces[number]
            if path in traces.covering or path in traces.folders:
                return number, How.REWRITTEN
            if path in traces.hidden or any(place in traces.hidden or place in traces.covering for place in above):
                return number, How.DELETED
        return layer, How.REWRITTEN


def _marks(member: Member, traces: _Traces) -> bool:
    """Whether it is a marker; what it hides is taken note of."""
    name, parent = member.name, member.parent
    if name == OPAQUE:
        traces.hidden.add(parent)
    elif not name.startswith(WHITEOUT):
        return False
    elif not name.startswith(AUFS):
        gone = name.removeprefix(WHITEOUT)
        traces.hidden.add(parent + b"/" + gone if parent else gone)
    return True


def _stored_size(member: Member) -> int:
    """Its content's bytes in the tar, with a header."""
    stored = member.size if member.sparse is None else sum(length for _, length in member.sparse)
    return BLOCK + -(-stored // BLOCK) * BLOCK


def _parents(path: bytes) -> list[bytes]:
    """Every folder above, the root as the empty name."""
    found, head = [b""], path
    while b"/" in head:
        head = head.rpartition(b"/")[0]
        found.append(head)
    return found


def _seen(path: bytes, node: Inode) -> SeenFile:
    member = node.member
    return SeenFile(
        path=shown(path), size=member.size, layer=node.layer, mode=member.mode, uid=member.uid, gid=member.gid
    )
