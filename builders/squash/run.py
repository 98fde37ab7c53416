"""Squash an image: read its layers, merge those above the base, prove the result, and lay it out as OCI."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from builders.engine import diff_ids, engine_facts, has_image
from builders.errors import Cancelled, SquashError
from builders.locate import Endpoint
from builders.model import BuiltImage, SquashedImage, SquashMode
from builders.squash.blobs import BlobStore, LayerBlob, open_blob
from builders.squash.imageconfig import squashed_config
from builders.squash.merge import Planned, difference
from builders.squash.proof import prove
from builders.squash.source import LayerSource, open_source, require_room
from builders.squash.tarfmt import END, header, members, padding
from builders.squash.tree import Inode, Node, apply, empty_tree
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType, canonical_json

CHUNK = 1 << 20
MERGED = -2
"""The layer index of inodes that were read back from the merged layer."""


def squash(
    image: BuiltImage,
    *,
    endpoint: Endpoint,
    base_image: str | None,
    mode: SquashMode,
    layout: Path,
    blobs: Path,
    scratch: Path,
    cancelled: threading.Event | None = None,
) -> SquashedImage:
    """Lay the image out in `layout`, its layers merged as `mode` says.

    The base is found by its diff-IDs: the engine's image `base_image` must be a prefix of this one. `auto` merges what
    is above the base where that is two layers or more, everything where the image is from scratch, and else leaves the
    image as it was built. `blobs` keeps compressed layers; `scratch` holds temporary files, and should be on the same
    file system.

    Raises SquashError (`proof-failed`, `layer-invalid`, `base-not-found`), DiskFull, EngineError, Cancelled.
    """
    facts = engine_facts(endpoint)
    kept = _base_layers(image, endpoint, base_image)
    chosen, note = choose_mode(mode, layers=len(image.diff_ids), base_layers=kept)
    kept = {SquashMode.ALL: 0, SquashMode.NONE: len(image.diff_ids)}.get(chosen, kept or 0)
    work = _Work(image, BlobStore(blobs), scratch, cancelled)
    with open_source(
        image.image_id, image.diff_ids, size=image.size, endpoint=endpoint, facts=facts, scratch=scratch
    ) as source:
        lower = [work.compressed(source, index) for index in range(kept)]
        if chosen is SquashMode.NONE:
            return _lay_out(layout, image, lower, source.config(), chosen, note, plain_before=None)
        merged, plain_before = work.merge(source, lower)
    layers = [*lower, *([merged] if merged else [])]
    config = squashed_config(json.loads(work.config), [layer.diff_id for layer in layers], kept=kept)
    return _lay_out(layout, image, layers, canonical_json(config), chosen, note, plain_before=plain_before)


def choose_mode(mode: SquashMode, *, layers: int, base_layers: int | None) -> tuple[SquashMode, str]:
    """What to do, and a remark where that is not what was asked for. `base_layers` None: the base is not known, 0: the
    image is from scratch. Pure. Raises SquashError (`base-not-found`)."""
    if mode is SquashMode.FROM_BASE and base_layers is None:
        raise SquashError(
            "base-not-found",
            "squash",
            "the image's base is not in the engine, or the image does not begin with it",
            hint="pull the base image, or choose --squash all or none",
        )
    if mode is not SquashMode.AUTO:
        return mode, ""
    if base_layers is None:
        return SquashMode.NONE, "the base image is not known, so no layer was merged; --squash all merges every one"
    above = layers - base_layers
    if above < 2:
        return SquashMode.NONE, ""
    return SquashMode.FROM_BASE, ""


class _Work:
    """One squash under way."""

    def __init__(
        self,
        image: BuiltImage,
        store: BlobStore,
        scratch: Path,
        cancelled: threading.Event | None,
    ) -> None:
        self.image = image
        self.store = store
        self.scratch = scratch
        self.config = b""
        self._cancelled = cancelled

    def compressed(self, source: LayerSource, index: int) -> LayerBlob:
        """A layer as it is, compressed now or before."""
        diff_id = self.image.diff_ids[index]
        return self.store.find(diff_id) or self.store.add(self.watched(source.chunks(index)), expected=diff_id)

    def merge(self, source: LayerSource, lower: Sequence[LayerBlob]) -> tuple[LayerBlob | None, int]:
        """Merge the layers above `lower`, and prove the result: the blob (None where nothing is left to say), and the
        bytes of the layers' tars before."""
        self.config = source.config()
        base = _tree_of(lower)
        final = base.copy()
        plain_before = sum(layer.plain_size for layer in lower)
        with tempfile.TemporaryDirectory(prefix="squash-", dir=self.scratch) as folder:
            require_room(self.scratch, self.image.size)
            spools: dict[int, BinaryIO] = {}
            try:
                for index in range(len(lower), len(self.image.diff_ids)):
                    spools[index] = self._spool(source, index, Path(folder))
                    plain_before += spools[index].seek(0, 2)
                    spools[index].seek(0)
                    apply(final, members(spools[index]), index)
                needed = {planned.source.layer for planned in difference(base, final) if planned.source}
                for index in needed - spools.keys():
                    spools[index] = self._spool(source, index, Path(folder))
                merged = self._write(base, final, spools)
                self._prove(base, merged, final, spools)
            finally:
                for spool in spools.values():
                    spool.close()
        return merged, plain_before

    def watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks, until the squash is cancelled."""
        for chunk in chunks:
            if self._cancelled is not None and self._cancelled.is_set():
                raise Cancelled("build-cancelled", "squash", "the build was cancelled", kept="nothing was pushed")
            yield chunk

    def _spool(self, source: LayerSource, index: int, folder: Path) -> BinaryIO:
        """A layer's tar in a file that can be read anywhere, its digest checked."""
        hasher = hashlib.sha256()
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the caller
        for chunk in self.watched(source.chunks(index)):
            hasher.update(chunk)
            spool.write(chunk)
        if f"sha256:{hasher.hexdigest()}" != self.image.diff_ids[index]:
            spool.close()
            raise SquashError(
                "layer-changed", self.image.diff_ids[index], "its bytes have another digest", hint="build it again"
            )
        spool.seek(0)
        return spool

    def _write(self, base: Node, final: Node, spools: dict[int, BinaryIO]) -> LayerBlob | None:
        planned = difference(base, final)
        first = next(planned, None)
        if first is None:
            return None

        def chunks() -> Iterator[bytes]:
            yield from _member_chunks(first, spools)
            for item in planned:
                yield from _member_chunks(item, spools)
            yield END

        return self.store.add(self.watched(chunks()))

    def _prove(self, base: Node, merged: LayerBlob | None, final: Node, spools: dict[int, BinaryIO]) -> None:
        """Read the merged layer back from its blob, as an engine would, lay it over the base, and compare. The base is
        the same layers on both sides, so its files are not read again."""
        result = base.copy()
        with tempfile.TemporaryFile(dir=self.scratch) as plain:
            if merged:
                with open_blob(merged) as stream:
                    shutil.copyfileobj(stream, plain, CHUNK)
                plain.seek(0)
                apply(result, members(plain), MERGED)
            digest = _digest_reader({MERGED: plain, **spools})
            prove(final, result, source_digest=digest, result_digest=digest)


def _tree_of(layers: Sequence[LayerBlob]) -> Node:
    root = empty_tree()
    for index, blob in enumerate(layers):
        with open_blob(blob) as stream:
            apply(root, members(stream), index)
    return root


def _digest_reader(streams: Mapping[int, BinaryIO]) -> Callable[[Inode], str]:
    """Gives the digest of a file's content, wherever it lies; each is read once."""
    known: dict[Inode, str] = {}

    def digest(inode: Inode) -> str:
        if inode not in known:
            hasher = hashlib.sha256()
            for chunk in _data(inode, streams):
                hasher.update(chunk)
            known[inode] = hasher.hexdigest()
        return known[inode]

    return digest


def _data(inode: Inode, streams: Mapping[int, BinaryIO]) -> Iterator[bytes]:
    stream = streams[inode.layer]
    stream.seek(inode.member.offset)
    left = inode.member.size
    while left:
        chunk = stream.read(min(CHUNK, left))
        if not chunk:
            raise SquashError("layer-damaged", "layer", "it ends in the middle of a file", hint="build it again")
        left -= len(chunk)
        yield chunk


def _member_chunks(planned: Planned, streams: Mapping[int, BinaryIO]) -> Iterator[bytes]:
    yield header(planned.member)
    if planned.source:
        yield from _data(planned.source, streams)
        yield padding(planned.source.member.size)


def _base_layers(image: BuiltImage, endpoint: Endpoint, base_image: str | None) -> int | None:
    """How many layers are the base's: 0 for an image from scratch, None where the base cannot be told."""
    if base_image is None or base_image == "scratch":
        return 0 if base_image else None
    if not has_image(endpoint, base_image):
        return None
    base = diff_ids(endpoint, base_image)
    return len(base) if image.diff_ids[: len(base)] == base else None


def _lay_out(
    layout: Path,
    image: BuiltImage,
    layers: Sequence[LayerBlob],
    config: bytes,
    mode: SquashMode,
    note: str,
    *,
    plain_before: int | None,
) -> SquashedImage:
    """Write the OCI layout. The engine's ID of an image is its config's digest, so an unchanged config keeps the ID."""
    made = OciLayout.create(layout)
    for blob in layers:
        made.link_blob(blob.path, blob.digest)
    manifest = ImageManifest.create(
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=made.add_blob(config), size=len(config)),
        layers=[Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=blob.digest, size=blob.size) for blob in layers],
    )
    made.put_manifest(manifest)
    plain_after = sum(blob.plain_size for blob in layers)
    return SquashedImage(
        layout=layout,
        digest=manifest.digest,
        image_id=manifest.config.digest,
        mode=mode,
        layers_before=len(image.diff_ids),
        layers_after=len(layers),
        bytes_before=plain_after if plain_before is None else plain_before,
        bytes_after=plain_after,
        compressed_bytes=sum(blob.size for blob in layers),
        proved=plain_before is not None,
        note=note,
    )
