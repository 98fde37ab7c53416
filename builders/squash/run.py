"""Squashing an image: saved, planned, merged, proved, and written as an OCI layout."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from builders.bill import MOST_LAYERS, Bill, Past, price
from builders.engine import Endpoint, connect, engine_facts
from builders.engine.connection import TRANSFER_TIMEOUT
from builders.errors import Cancelled, DiskFull, SquashError
from builders.model import BuiltImage, SquashedImage, SquashMode
from builders.room import require_room
from builders.squash.blobs import Blob, BlobStore
from builders.squash.codec import Compression
from builders.squash.config import rewrite
from builders.squash.difference import entries
from builders.squash.early import Early
from builders.squash.listing import Listing
from builders.squash.member import Member
from builders.squash.merge import write_layer
from builders.squash.plan import SCRATCH, Plan, decided, make_plan
from builders.squash.proof import Proof
from builders.squash.source import Layer, SourceImage, spool, whole
from builders.squash.store import read_store
from builders.squash.survey import survey_trees
from builders.squash.tree import Trees
from builders.squash.weigh import reckon
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType

logger = logging.getLogger(__name__)

REF_NAME = "image"
_SLACK = 64 << 20  # bytes that must stay free besides what is computed
_KEPT = "the image as it was built"
Check = Callable[[], None]
OnBlob = Callable[[Blob], None]


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
    history: Sequence[Past] = (),
    present: Callable[[str], bool] = lambda _: False,
    compression: Compression = Compression.BALANCED,
    on_blob: OnBlob = lambda _: None,
    look: Callable[[Listing], None] | None = None,
) -> SquashedImage:
    """Writes `image` as an OCI layout at `layout`, its layers merged as `mode` says.

    `base_image` is the reference of the last stage's FROM (``scratch`` for none; None where it is not known); its
    layers are kept bit for bit. `blobs` is a folder of compressed layers that builds share; `scratch` one for
    temporary files: the image goes there if the engine's own folders cannot be read. `history` are the pushes before,
    newest first, and `present` tells whether the registry to push to has a blob, by its digest: by these ``auto``
    decides. Layers are packed with `compression`. `on_blob` is told each layer's blob that will be in the image as soon
    as it is there; of a merged layer, which is to be proved, nothing. `look` is shown the image's files before any is
    packed, and again where it has to be read again; what it raises ends the squash. The image in the engine is only
    read.

    Raises SquashError (``proof-failed``, ``base-mismatch``, ``layer-damaged``, …), DiskFull, EngineError, Cancelled.
    """
    for folder in (scratch, blobs):
        folder.mkdir(parents=True, exist_ok=True)
    check = _checker(image, cancelled)
    check()
    with disk_full_named(scratch):
        base = base_layers(base_image, endpoint)
        plan = make_plan(mode, layers=image.diff_ids, base=base, subject=image.image_id)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="squash-") as work:
            store = BlobStore(blobs, compression=compression)

            def act(source: SourceImage) -> SquashedImage:
                bill = trees = None
                decision = plan
                if plan.start is not None or look is not None:
                    survey, trees = survey_trees(source.layers, subject=image.image_id, check=check, start=plan.start)
                    if plan.start is not None:
                        costs = reckon(survey, source.layers, base=base, store=store, history=history, present=present)
                        decision = decided(plan, costs) if mode is SquashMode.AUTO else plan
                        bill = price(costs, decision.start)
                    if look is not None:
                        look(Listing.of(source, survey, trees, base=base, merged_from=decision.start))
                return squash_source(
                    source,
                    plan=decision,
                    layout=layout,
                    store=store,
                    subject=image.image_id,
                    check=check,
                    bill=bill,
                    trees=trees,
                    on_blob=on_blob,
                )

            # By its bytes ``auto`` merges no layer of the base; for their number it may merge all.
            sure = mode is not SquashMode.AUTO or len(image.diff_ids) <= MOST_LAYERS
            stay = image.diff_ids[: plan.start] if sure else ()

            def early() -> Early:
                return Early(store, stay=stay, room=2 * image.size + _SLACK, check=check, on_blob=on_blob)

            return whole(read_image(image, endpoint, Path(work), check, store, early), act)


def drop_damaged(layout: Path, *, blobs: Path) -> tuple[str, ...]:
    """Removes from the folder `blobs` the layers of the image at `layout` whose bytes are not what their digests say,
    and gives their digests; none where all are well. The next `squash` makes them again; `layout` is of no use then.

    Raises LayoutError where the layout itself is damaged.
    """
    return BlobStore(blobs).drop_damaged(layer.digest for layer in OciLayout.open(layout).manifest().layers)


def read_image(
    image: BuiltImage,
    endpoint: Endpoint,
    folder: Path,
    check: Check,
    store: BlobStore | None = None,
    early: Callable[[], Early] | None = None,
) -> SourceImage:
    """The image from where it lies if that can be read, else from the engine, into `folder`. Sizes of layers that
    `store` has blobs of need not be reckoned. What `early` gives takes layers while the engine saves the others. Raises
    DiskFull where the engine's copy would not fit."""

    def saved() -> SourceImage:
        ensure_room(folder, image.size)
        with ExitStack() as opened:
            engine = opened.enter_context(connect(endpoint, timeout=TRANSFER_TIMEOUT))
            on_layer = opened.enter_context(early()).take if early is not None else lambda _: None
            archive = engine.save(image.image_id)
            return spool(archive, folder, subject=image.image_id, check=check, on_layer=on_layer)

    known = {}
    for diff_id in image.diff_ids if store is not None else ():
        if store is not None and (blob := store.find(diff_id)):
            known[diff_id] = blob.uncompressed
    found = read_store(image.image_id, endpoint=endpoint, facts=engine_facts(endpoint), known=known)
    return saved() if found is None else replace(found, saved=saved)


def squash_source(
    source: SourceImage,
    *,
    plan: Plan,
    layout: Path,
    store: BlobStore,
    subject: str,
    check: Check,
    blobs: Mapping[str, Blob] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
    bill: Bill | None = None,
    trees: Trees | None = None,
    on_blob: OnBlob = lambda _: None,
) -> SquashedImage:
    """Carries out `plan` on an image on disk. No engine is asked. Raises as `squash` does.

    `blobs` are compressed layers that came with the image, by diff-ID: one that stays keeps its digest, and so is not
    sent to a registry that has it. `annotations` are those of the image's manifest. `trees` are what the layers make,
    of whoever has read them. `on_blob` as `squash` has it.
    """
    start = len(source.layers) if plan.start is None else plan.start
    base, above = source.layers[:start], source.layers[start:]
    there = [blobs.get(layer.diff_id) or store.find(layer.diff_id) for layer in base]
    # Packed bytes are fewer, or hardly more.
    new = [*(layer for layer, blob in zip(base, there, strict=True) if blob is None), *above]
    ensure_room(store.folder, sum(layer.size for layer in new))
    kept = []
    for layer, blob in zip(base, there, strict=True):
        kept.append(blob or store.compress(layer, check))
        on_blob(kept[-1])
    merged = _merge(source, start, store, subject, check, trees) if above else None
    result = [*kept, merged] if merged else kept
    config = source.config_bytes
    if above:
        config = rewrite(source.config, start=start, diff_ids=[blob.diff_id for blob in result])
    manifest = _write_layout(layout, config, result, annotations)
    return SquashedImage(
        layout=layout,
        digest=manifest.digest,
        image_id=manifest.config.digest,
        mode=plan.mode,
        layers_before=len(source.layers),
        layers_after=len(result),
        bytes_before=sum(layer.size for layer in source.layers),
        bytes_after=sum(blob.uncompressed for blob in result),
        compressed_bytes=sum(blob.size for blob in result),
        proved=bool(above),
        note=plan.note,
        bill=bill,
    )


def _merge(
    source: SourceImage, start: int, store: BlobStore, subject: str, check: Check, trees: Trees | None
) -> Blob | None:
    """The blob of the layers from `start` on as one, proved; None where together they change nothing."""
    base, above = source.layers[:start], source.layers[start:]
    proof = Proof(base=base, merged=above, subject=subject, check=check)
    if trees is None or (start and trees.start != start):
        trees = survey_trees(source.layers, subject=subject, check=check, start=start)[1]
    members = entries(trees.below if start else None, trees.final, start)
    blob = None
    if members:
        blob = store.pack(write_layer(members), check, on_plain=proof.feed)
    # After the merge: a file that was changed before or while it was read shows now. Of the layers that stay, what was
    # to be hidden was told by their lists, which somebody must have found right.
    used, unsure = _used(base, members), [layer for layer in base if not store.vouches(layer)]
    looked_at = [layer for layer in base if layer.split is None or layer in used or layer in unsure]
    _verify([*above, *looked_at], proof, check)
    for layer in unsure:
        store.vouch(layer)
    compared = proof.conclude(blob.uncompressed if blob else 0)
    logger.debug("proved %d paths of %s equal", compared, subject)
    return blob


def _used(base: Sequence[Layer], members: Sequence[Member]) -> list[Layer]:
    """The layers that stay of which a content was taken nevertheless: a hard link to a file of theirs."""
    folders = {layer.split.files + b"/": layer for layer in base if layer.split is not None}
    used = set()
    for member in members if folders else ():
        source = member.source
        if isinstance(source, bytes):
            used |= {folder for folder in folders if source.startswith(folder)}
    return [folders[folder] for folder in sorted(used)]


def _verify(layers: Sequence[Layer], proof: Proof, check: Check) -> None:
    """Side by side, on as many cores as there are: hashing lets other threads run."""
    with ThreadPoolExecutor(max_workers=min(len(layers), os.cpu_count() or 1) or 1) as threads:
        for done in [threads.submit(layer.verify, check, proof.see) for layer in layers]:
            done.result()


def _write_layout(path: Path, config: bytes, blobs: list[Blob], annotations: Mapping[str, str]) -> ImageManifest:
    layout = OciLayout.create(path)
    for blob in blobs:
        layout.link_blob(blob.path, blob.digest)
    manifest = ImageManifest.create(
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=layout.add_blob(config), size=len(config)),
        layers=[Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size) for blob in blobs],
        annotations=annotations,
    )
    layout.put_manifest(manifest, REF_NAME)
    return manifest


def base_layers(base_image: str | None, endpoint: Endpoint) -> tuple[str, ...] | None:
    """The base's diff-IDs as the engine knows them; parents are not asked, which BuildKit does not record. Empty for
    ``scratch``, None for None. Raises EngineError ``image-missing``."""
    if base_image is None:
        return None
    if base_image == SCRATCH:
        return ()
    with connect(endpoint) as engine:
        found = engine.inspect_image(base_image)
    return tuple((found.get("RootFS") or {}).get("Layers") or ())


def _checker(image: BuiltImage, cancelled: threading.Event | None) -> Check:
    def check() -> None:
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("build-cancelled", image.image_id, "the build was cancelled while the image was squashed")

    return check


def ensure_room(folder: Path, size: int) -> None:
    """Raises DiskFull where `size` bytes, and some to spare, would not fit into `folder`."""
    require_room(folder, size + _SLACK, "squashing", kept=_KEPT)


@contextmanager
def disk_full_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except InterruptedError:
        raise  # an OSError by birth, and no disk's: whoever cancels says so by it
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _disk_full(Path(error.filename or folder), "the disk became full while squashing") from error
        raise SquashError("squash-io", str(error.filename or folder), f"{error.strerror or error}") from error


def _disk_full(folder: Path, message: str) -> DiskFull:
    hint = "free some space, or name another folder"
    return DiskFull("disk-full", str(folder), message, hint=hint, kept=_KEPT)
