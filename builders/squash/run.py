"""Squashing an image: saved, planned, merged, proved, and written as an OCI layout."""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from builders.bill import Bill, Past, price
from builders.engine import Endpoint, connect, engine_facts
from builders.engine.connection import TRANSFER_TIMEOUT
from builders.errors import Cancelled, DiskFull, SquashError
from builders.model import BuiltImage, SquashedImage, SquashMode
from builders.squash.blobs import Blob, BlobStore
from builders.squash.config import rewrite
from builders.squash.difference import entries
from builders.squash.merge import write_layer
from builders.squash.plan import SCRATCH, Plan, decided, make_plan
from builders.squash.proof import prove
from builders.squash.source import SourceImage, spool
from builders.squash.store import read_store
from builders.squash.survey import survey_tree
from builders.squash.tarread import read_layer
from builders.squash.tree import Directory, apply_layer, build_tree, copy_tree
from builders.squash.weigh import reckon
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType

logger = logging.getLogger(__name__)

REF_NAME = "image"
_SLACK = 64 << 20  # bytes that must stay free besides what is computed
Check = Callable[[], None]


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
) -> SquashedImage:
    """Writes `image` as an OCI layout at `layout`, its layers merged as `mode` says.

    `base_image` is the reference of the last stage's FROM (``scratch`` for none; None where it is not known); its
    layers are kept bit for bit. `blobs` is a folder of compressed layers that builds share; `scratch` one for
    temporary files, with room for the image twice. `history` are the pushes before, newest first, and `present` tells
    whether the registry to push to has a blob, by its digest: by these ``auto`` decides. The image in the engine is
    only read.

    Raises SquashError (``proof-failed``, ``base-mismatch``, ``layer-damaged``, …), DiskFull, EngineError, Cancelled.
    """
    for folder in (scratch, blobs):
        folder.mkdir(parents=True, exist_ok=True)
    check = _checker(image, cancelled)
    check()
    with disk_full_named(scratch):
        ensure_room(image, scratch, blobs)
        base = base_layers(base_image, endpoint)
        plan = make_plan(mode, layers=image.diff_ids, base=base, subject=image.image_id)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="squash-") as work:
            store = BlobStore(blobs)
            # A merge needs to see the layers below it; where there is none, the blobs of earlier builds will do.
            there = [blob for diff_id in image.diff_ids if (blob := store.find(diff_id))] if plan.start is None else []
            known = {blob.diff_id: blob.uncompressed for blob in there}
            source = read_image(image, endpoint, Path(work), check, known)
            bill = tree = None
            if plan.start is not None:
                survey, tree = survey_tree(source.layers, subject=image.image_id, check=check)
                costs = reckon(survey, source.layers, base=base, store=store, history=history, present=present)
                plan = decided(plan, costs) if mode is SquashMode.AUTO else plan
                bill = price(costs, plan.start)
            return squash_source(
                source,
                plan=plan,
                layout=layout,
                store=store,
                subject=image.image_id,
                check=check,
                bill=bill,
                tree=tree,
            )


def drop_damaged(layout: Path, *, blobs: Path) -> tuple[str, ...]:
    """Removes from the folder `blobs` the layers of the image at `layout` whose bytes are not what their digests say,
    and gives their digests; none where all are well. The next `squash` makes them again; `layout` is of no use then.

    Raises LayoutError where the layout itself is damaged.
    """
    return BlobStore(blobs).drop_damaged(layer.digest for layer in OciLayout.open(layout).manifest().layers)


def read_image(
    image: BuiltImage, endpoint: Endpoint, folder: Path, check: Check, known: Mapping[str, int]
) -> SourceImage:
    """The image from where it lies if that can be read, else from the engine. What is `known` need not be read."""
    found = read_store(
        image.image_id, endpoint=endpoint, facts=engine_facts(endpoint), folder=folder, check=check, known=known
    )
    if found is not None:
        return found
    with connect(endpoint, timeout=TRANSFER_TIMEOUT) as engine:
        return spool(engine.save(image.image_id), folder, subject=image.image_id, check=check)


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
    tree: Directory | None = None,
) -> SquashedImage:
    """Carries out `plan` on an image on disk. No engine is asked. Raises as `squash` does.

    `blobs` are compressed layers that came with the image, by diff-ID: one that stays keeps its digest, and so is not
    sent to a registry that has it. `annotations` are those of the image's manifest. `tree` is what all layers make, of
    whoever has read them.
    """
    start = len(source.layers) if plan.start is None else plan.start
    base, above = source.layers[:start], source.layers[start:]
    kept = [blobs.get(layer.diff_id) or store.compress(layer, check) for layer in base]
    merged = _merge(source, start, store, subject, check, tree) if above else None
    if above:
        compared = prove(
            base=[layer.file for layer in base],
            merged=[layer.file for layer in above],
            result=merged.path if merged else None,
            diff_id=merged.diff_id if merged else None,
            subject=subject,
            check=check,
        )
        logger.debug("proved %d paths of %s equal", compared, subject)
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
    source: SourceImage, start: int, store: BlobStore, subject: str, check: Check, final: Directory | None
) -> Blob | None:
    """The blob of the layers from `start` on as one; None where together they change nothing."""
    paths = [layer.file for layer in source.layers]
    base = build_tree((read_layer(path, subject=subject) for path in paths[:start]), subject) if start else None
    if final is None:
        final = copy_tree(base) if base is not None else Directory(None, 0)
        for number, path in enumerate(paths[start:], start):
            check()
            apply_layer(final, read_layer(path, subject=subject), number, subject)
    members = entries(base, final, start)
    if not members:
        return None
    with store.writer() as writer:
        write_layer(members, writer, check)
    return writer.blob


def _write_layout(path: Path, config: bytes, blobs: list[Blob], annotations: Mapping[str, str]) -> ImageManifest:
    layout = OciLayout.create(path)
    for blob in blobs:
        layout.link_blob(blob.path, blob.digest)
    manifest = ImageManifest.create(
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=layout.add_blob(config), size=len(config)),
        layers=[Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=blob.digest, size=blob.size) for blob in blobs],
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


def ensure_room(image: BuiltImage, scratch: Path, blobs: Path) -> None:
    """The saved image goes to `scratch`, at most as much again, compressed, to `blobs`."""
    same_disk = scratch.stat().st_dev == blobs.stat().st_dev
    wanted = {scratch: image.size * (2 if same_disk else 1)} | ({} if same_disk else {blobs: image.size})
    for folder, size in wanted.items():
        free = shutil.disk_usage(folder).free
        if free < size + _SLACK:
            raise _disk_full(folder, f"squashing needs {_mb(size + _SLACK)} there, and {_mb(free)} are free")


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
    return DiskFull("disk-full", str(folder), message, hint=hint, kept="the image as it was built")


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
