"""Squashing an image that was brought here, whatever it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from builders.bill import Past, price
from builders.limits import Limits
from builders.model import SquashedImage, SquashMode
from builders.opened.model import OpenedImage
from builders.squash.blobs import BlobStore
from builders.squash.codec import Compression
from builders.squash.plan import decided, make_plan
from builders.squash.run import REF_NAME, OnBlob, disk_full_named, squash_source
from builders.squash.source import SourceImage, whole
from builders.squash.survey import survey_trees
from builders.squash.weigh import reckon
from registry.layout import OciLayout


def squash_opened(
    image: OpenedImage,
    *,
    mode: SquashMode,
    base: Sequence[str] | None,
    layout: Path,
    blobs: Path,
    keep: int | None = None,
    limits: Limits | None = None,
    history: Sequence[Past] = (),
    present: Callable[[str], bool] = lambda _: False,
    check: Callable[[], None] = lambda: None,
    compression: Compression = Compression.BALANCED,
    on_blob: OnBlob = lambda _: None,
) -> SquashedImage:
    """Writes the image as an OCI layout at `layout`, its layers merged as `mode` says, proved equal, with its bill.

    `base` are the base image's diff-IDs (empty for FROM scratch, None where it is not known), `keep` how many layers
    stay with `SquashMode.KEEP_LAYERS`. `history` are the releases before, newest first; `present` tells whether the
    target has a blob, by its digest. `blobs` is a folder of compressed layers, which are shared; new ones are packed
    with `compression`, those that came packed stay as they are. `on_blob` is told each layer's blob that stays as soon
    as it is there.

    Raises SquashError, ImageError ``too-many-entries``, DiskFull.
    """

    def act(source: SourceImage, store: BlobStore) -> SquashedImage:
        plan = make_plan(mode, layers=image.diff_ids, base=base, subject=image.name, keep=keep)
        survey, trees = survey_trees(source.layers, subject=image.name, check=check, limits=limits, start=plan.start)
        costs = reckon(
            survey, source.layers, base=base, store=store, blobs=image.blobs, history=history, present=present
        )
        if mode is SquashMode.AUTO and plan.start is not None:
            plan = decided(plan, costs)
        return squash_source(
            source,
            plan=plan,
            layout=layout,
            store=store,
            subject=image.name,
            check=check,
            blobs=image.blobs,
            annotations=image.annotations,
            bill=price(costs, plan.start),
            trees=trees,
            on_blob=on_blob,
        )

    blobs.mkdir(parents=True, exist_ok=True)
    with disk_full_named(blobs):
        store = BlobStore(blobs, compression=compression)
        result = whole(image.source, lambda source: act(source, store))
    return result if result.proved else _as_it_came(result, image)


def _as_it_came(result: SquashedImage, image: OpenedImage) -> SquashedImage:
    """An image that is left alone keeps its manifest too, and so its digest, where it came with one and all of its
    layers' blobs."""
    if image.manifest is None or not image.blobs.keys() >= set(image.diff_ids):
        return result
    OciLayout.open(result.layout).put(image.manifest.raw, image.manifest.media_type, REF_NAME)
    return replace(result, digest=image.manifest.digest)
