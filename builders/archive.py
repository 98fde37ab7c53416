"""Docker archives: what `docker save` writes and `docker load` reads, from and to OCI layouts. No engine is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from builders.limits import Limits
from builders.load import archive
from builders.model import SquashedImage, SquashMode
from builders.opened.archive import open_archive
from builders.room import require_room
from builders.squash.blobs import BlobStore
from builders.squash.codec import Compression
from builders.squash.plan import make_plan
from builders.squash.run import disk_full_named, squash_source
from registry.layout import OciLayout


def unpack_archive(
    file: Path,
    *,
    layout: Path,
    blobs: Path,
    scratch: Path,
    limits: Limits | None = None,
    check: Callable[[], None] = lambda: None,
    compression: Compression = Compression.BALANCED,
) -> SquashedImage:
    """Writes the image in a docker archive as an OCI layout at `layout`, as it is; its layers are packed once, with
    `compression`, and shared by the folder `blobs`. `check` is called now and then, and may raise.

    Raises ImageError (``archive-missing``, ``layer-bomb``, …), SquashError (``archive-damaged``, …), DiskFull.
    """
    for folder in (scratch, blobs):
        folder.mkdir(parents=True, exist_ok=True)
    subject = str(file)
    with disk_full_named(scratch), tempfile.TemporaryDirectory(dir=scratch, prefix="squash-") as work:
        source = open_archive(file, Path(work), name=subject, limits=limits or Limits(), check=check).source
        plan = make_plan(SquashMode.NONE, layers=[layer.diff_id for layer in source.layers], base=None, subject=subject)
        store = BlobStore(blobs, compression=compression)
        return squash_source(source, plan=plan, layout=layout, store=store, subject=subject, check=check)


def write_archive(layout: Path, file: Path, *, tag: str | None) -> str:
    """Writes the image at `layout` as a docker archive, under `tag` where one is given; gives its ID. The file appears
    whole or not at all. Raises DiskFull, SquashError ``squash-io``, and LayoutError of registry."""
    source = OciLayout.open(layout)
    manifest = source.manifest()
    temporary = file.with_name(f".{file.name}.part")
    with disk_full_named(file.parent):
        require_room(file.parent, sum(layer.size for layer in manifest.layers), "the archive")
        try:
            with temporary.open("wb") as handle:
                for piece in archive(source, manifest, tag, skip=0):
                    handle.write(piece)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    return manifest.config.digest
