"""Layers made by hand, and an oracle that says what they amount to.

The oracle shares nothing with the code under test: it works on the items that a layer was made of, not on tar, and
follows the image specification's text step by step in a flat dict of paths.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from builders.model import SquashedImage, SquashMode
from builders.squash.blobs import BlobStore
from builders.squash.plan import Plan
from builders.squash.run import squash_source
from builders.squash.source import Layer, SourceImage
from builders.squash.survey import survey_trees
from builders.squash.tarsplit import Keeper
from registry.layout import OciLayout

from .splits import split_layer

MARK, OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True, kw_only=True)
class Item:
    """An entry of a layer. `kind` is one of file, folder, symlink, hardlink, character, block, fifo."""

    kind: str
    path: str
    content: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: str = "1000"
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        return self.path.rpartition("/")[0]

    def but(self, **changes: object) -> Item:
        return replace(self, **changes)  # type: ignore[arg-type]


def file(path: str, content: str | bytes = b"", **more: object) -> Item:
    raw = content.encode() if isinstance(content, str) else content
    return Item(kind="file", path=path, content=raw).but(**more)


def folder(path: str, **more: object) -> Item:
    return Item(kind="folder", path=path, mode=0o755).but(**more)


def symlink(path: str, target: str) -> Item:
    return Item(kind="symlink", path=path, target=target, mode=0o777)


def hardlink(path: str, target: str) -> Item:
    return Item(kind="hardlink", path=path, target=target)


def whiteout(path: str) -> Item:
    head, slash, name = path.rpartition("/")
    return Item(kind="file", path=f"{head}{slash}{MARK}{name}")


def opaque(path: str) -> Item:
    return Item(kind="file", path=f"{path}/{OPAQUE}")


TYPES = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def tar_of(items: Sequence[Item], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """The items as an uncompressed tar, names as they are (surrogates stand for bytes that are not UTF-8)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape") as tar:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.type = TYPES[item.kind]
            info.mode, info.uid, info.gid = item.mode, item.uid, item.gid
            info.mtime = int(item.mtime.partition(".")[0])
            info.linkname = item.target
            info.devmajor, info.devminor = item.device
            info.size = len(item.content) if item.kind == "file" else 0
            info.pax_headers = dict(item.pax)
            if "." in item.mtime:
                info.pax_headers["mtime"] = item.mtime
            tar.addfile(info, io.BytesIO(item.content) if item.kind == "file" else None)
    return buffer.getvalue()


def items_of(raw: bytes) -> list[Item]:
    """The items in a tar; the inverse of `tar_of`."""
    kinds = {value: key for key, value in TYPES.items()}
    found = []
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        for info in tar:
            content = tar.extractfile(info) if info.isreg() else None
            found.append(
                Item(
                    kind=kinds[info.type],
                    path=info.name if info.name != "." else "",
                    content=content.read() if content else b"",
                    target=info.linkname,
                    mode=info.mode,
                    uid=info.uid,
                    gid=info.gid,
                    mtime=info.pax_headers.get("mtime", str(int(info.mtime))),
                    device=(info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else (0, 0),
                    pax={key: value for key, value in info.pax_headers.items() if key.startswith("SCHILY.")},
                )
            )
    return found


class Object:
    """What a path is; names that share one are hard links of each other."""

    def __init__(self, item: Item) -> None:
        self.item = item


State = dict[str, Object]
IMPLIED = folder("", mtime="0")


def clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def below(state: State, path: str) -> list[str]:
    return [other for other in state if other.startswith(f"{path}/")] if path else list(state)


def apply(state: State, items: Sequence[Item]) -> State:
    """The state after one more layer."""
    lower = dict(state)
    items = [item.but(path=clean(item.path)) for item in items]
    for item in items:
        if item.name == OPAQUE:
            for path in below(state, item.parent):
                state.pop(path, None)
        elif item.name.startswith(MARK):
            hidden = clean(f"{item.parent}/{item.name.removeprefix(MARK)}")
            for path in [*below(state, hidden), hidden]:
                state.pop(path, None)
    mine: State = {}
    copies: dict[int, Object] = {}
    for item in items:
        make_parents(state, mine, item.parent)
        if item.name.startswith(MARK):
            continue
        put(state, mine, item, lower, copies)
    return state


def make_parents(state: State, mine: State, path: str) -> None:
    parts = path.split("/") if path else []
    for count in range(1, len(parts) + 1):
        here = "/".join(parts[:count])
        if here not in state or state[here].item.kind != "folder":
            state[here] = mine[here] = Object(IMPLIED)


def put(state: State, mine: State, item: Item, lower: State, copies: dict[int, Object]) -> None:
    path = item.path
    if not path:
        return
    if item.kind == "folder":
        if path not in state or state[path].item.kind != "folder":
            state.pop(path, None)
        state[path] = mine[path] = Object(item)
        return
    for other in below(state, path):
        state.pop(other)
        mine.pop(other, None)
    if item.kind == "hardlink":
        target = clean(item.target)
        if target in mine:
            state[path] = mine[path] = mine[target]
        else:
            old = lower[target]
            state[path] = mine[path] = copies.setdefault(id(old), Object(old.item))
    else:
        state[path] = mine[path] = Object(item)


def seen(state: State) -> dict[str, object]:
    """A state as something to compare: every path's attributes and the first name of its link group."""
    first: dict[int, str] = {}
    for path in sorted(state):
        first.setdefault(id(state[path]), path)
    return {path: (first[id(thing)], attributes(thing.item)) for path, thing in state.items()}


def attributes(item: Item) -> tuple[object, ...]:
    time = item.mtime.rstrip("0").rstrip(".") if "." in item.mtime else item.mtime
    pax = sorted((key, value) for key, value in item.pax.items() if key.startswith("SCHILY.xattr."))
    target = item.target if item.kind == "symlink" else ""
    return (item.kind, item.content, target, item.mode, item.uid, item.gid, time, item.device, tuple(pax))


def merged(layers: Sequence[Sequence[Item]]) -> State:
    state: State = {}
    for items in layers:
        apply(state, items)
    return state


@dataclass(frozen=True, kw_only=True)
class Squashed:
    """A squash's result: its report, its uncompressed layers, its configuration."""

    image: SquashedImage
    raws: list[bytes]
    config: dict[str, object]

    @property
    def layers(self) -> list[list[Item]]:
        return [items_of(raw) for raw in self.raws]

    @property
    def top(self) -> list[Item]:
        return self.layers[-1]

    @property
    def names(self) -> list[str]:
        return [item.path for item in self.top]


def source_of(folder_: Path, raws: Sequence[bytes], config: dict[str, object] | None = None) -> SourceImage:
    """An image on disk made of uncompressed layers."""
    folder_.mkdir(parents=True, exist_ok=True)
    layers = []
    for number, raw in enumerate(raws):
        path = folder_ / f"layer-{number}.tar"
        path.write_bytes(raw)
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        layers.append(Layer(path=path, diff_id=digest, size=len(raw)))
    full = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}}
    full |= config or {}
    return SourceImage(config_bytes=json.dumps(full).encode(), config=full, layers=tuple(layers))


def squash_layers(
    folder_: Path,
    raws: Sequence[bytes],
    *,
    start: int,
    config: dict[str, object] | None = None,
    surveyed: bool = False,
    split: bool = False,
) -> Squashed:
    """Squashes the layers from `start` on, proof included, and reads the result back. Where they are `surveyed` before,
    the trees are the survey's; where they are `split`, they lie as an overlay2 engine keeps them."""
    source = source_of(folder_ / "source", raws, config)
    if split:
        keeper = Keeper(4000)  # room for some of them
        layers = tuple(
            split_layer(folder_ / "engine" / str(number), raw, keeper=keeper) for number, raw in enumerate(raws)
        )
        source = replace(source, layers=layers)
    image = squash_source(
        source,
        plan=Plan(mode=SquashMode.FROM_BASE if start else SquashMode.ALL, start=start),
        layout=folder_ / f"layout-{start}",
        store=BlobStore(folder_ / "blobs"),
        subject="test",
        check=lambda: None,
        trees=survey_trees(source.layers, subject="test", check=lambda: None, start=start)[1] if surveyed else None,
    )
    layout = OciLayout.open(image.layout)
    layout.verify()
    manifest = layout.manifest()
    after = [gzip.decompress(layout.blob_path(layer.digest).read_bytes()) for layer in manifest.layers]
    return Squashed(image=image, raws=after, config=layout.config())


def assert_well_formed(items: Sequence[Item], base: State) -> None:
    """What the specification asks of a layer, whatever it is for."""
    paths = [item.path for item in items]
    assert len(paths) == len(set(paths)), "a path twice"
    files: set[str] = set()
    whited: set[str] = set()
    siblings: set[str] = set()
    for item in items:
        if item.name == OPAQUE:
            assert below(base, item.parent), "an opaque marker that hides nothing"
            assert item.parent not in siblings, "an opaque marker after its siblings"
        elif item.name.startswith(MARK):
            hidden = clean(f"{item.parent}/{item.name.removeprefix(MARK)}")
            assert hidden in base, "a whiteout that hides nothing"
            assert item.parent not in siblings, "a whiteout after its siblings"
            assert not any(hidden.startswith(f"{other}/") for other in whited), "a whiteout in what is hidden already"
            whited.add(hidden)
        else:
            siblings.add(item.parent)
            if item.parent:
                assert item.parent in files, "a folder comes after what is in it"
            if item.kind == "hardlink":
                assert item.target in files, "a hard link before its target, or to another layer"
            files.add(item.path)
