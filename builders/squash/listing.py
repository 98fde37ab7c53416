"""An image's entries for whoever judges them: what a container sees, and what later layers hide of earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builders.squash.contents import Contents
from builders.squash.member import Member, shown
from builders.squash.source import SourceImage
from builders.squash.survey import Survey
from builders.squash.tree import Inode, Trees, walk


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedFile:
    """An entry, markers and folders left out. `kind` is ``file``, ``symlink`` or what else it is; `path` begins with a
    slash, what is not UTF-8 escaped; `layer` is its layer's number, from 0 at the bottom; `kept` tells whether a
    container sees it. An entry that several names share is told once for each."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    layer: int
    kept: bool
    member: Member = field(repr=False, compare=False)

    def read(self, limit: int) -> bytes:
        """Up to `limit` bytes from the front of a file's content; of a sparse one the first stored piece. Raises
        SquashError ``layer-damaged``, OSError."""
        member = self.member
        if member.source is None:
            return b""
        stored = member.size if member.sparse is None else next((length for _, length in member.sparse), 0)
        with Contents() as contents:
            return contents.span(member.source, member.offset, min(limit, stored))


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedLayer:
    """A layer of `size` bytes, uncompressed, of which so many are `wasted`: later layers hide them. Of one that is
    merged with others only what is left of it counts."""

    diff_id: str
    size: int
    wasted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """An image's configuration and its layers from the bottom up; `base` how many of them are the base image's, None
    where that is not known; `merged_from` the number of the first layer that a squash makes one with those above, None
    where all stay. What a merged layer hides of a merged one is in no layer afterwards, and not listed."""

    config: Mapping[str, Any]
    layers: tuple[ListedLayer, ...]
    base: int | None
    merged_from: int | None
    trees: Trees = field(repr=False)

    @classmethod
    def of(
        cls,
        source: SourceImage,
        survey: Survey,
        trees: Trees,
        *,
        base: Sequence[str] | None,
        merged_from: int | None = None,
    ) -> Listing:
        """Out of what a survey made of an image's layers."""
        found = [layer.diff_id for layer in survey.layers]
        known = base is not None and found[: len(base)] == list(base)
        layers = []
        for number, layer in enumerate(survey.layers):
            merged = merged_from is not None and number >= merged_from
            size, wasted = (layer.size - layer.wasted, 0) if merged else (layer.size, layer.wasted)
            layers.append(ListedLayer(diff_id=layer.diff_id, size=size, wasted=wasted))
        return cls(
            config=source.config,
            layers=tuple(layers),
            base=len(base) if known and base is not None else None,
            merged_from=merged_from,
            trees=trees,
        )

    def files(self) -> Iterator[ListedFile]:
        """The entries: those that are seen by their paths, then files that are hidden."""
        for path, node in walk(self.trees.final):
            if isinstance(node, Inode):
                yield _listed(path, node.member, node.layer, kept=True)
        for layer, member in self.trees.hidden:
            if self.merged_from is None or layer < self.merged_from:
                yield _listed(member.path, member, layer, kept=False)


def _listed(path: bytes, member: Member, layer: int, *, kept: bool) -> ListedFile:
    return ListedFile(
        path=shown(path),
        kind=member.kind.value,
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        layer=layer,
        kept=kept,
        member=member,
    )
