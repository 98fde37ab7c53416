"""The blob store's contents, and taking some out. A blob that is gone is made again when it is needed."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builders.squash.members import forget

UNFINISHED = ".new-"
"""How the names of blobs begin that are being written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBlob:
    """A compressed layer: `digest`, `size` in bytes, `used_at` (Unix time) when a layout last took or left it, and
    whether one has it now (`linked`)."""

    digest: str
    size: int
    used_at: float
    linked: bool


def stored_blobs(folder: Path) -> tuple[StoredBlob, ...]:
    """All blobs in the folder that builds share, in no order; none where there is no folder."""
    found = []
    for file in (folder / "sha256").glob("*"):
        with suppress(FileNotFoundError):
            known = file.stat()
            # A hard link that comes or goes changes the inode, and nothing else of it.
            found.append(
                StoredBlob(
                    digest=f"sha256:{file.name}",
                    size=known.st_size,
                    used_at=known.st_ctime,
                    linked=known.st_nlink > 1,
                )
            )
    return tuple(found)


def remove_blobs(folder: Path, digests: Collection[str]) -> int:
    """Take blobs out, the notes by which layers found them, and what builds that were killed have left half-written;
    the bytes that came free. Nobody may be building."""
    names = {digest.removeprefix("sha256:") for digest in digests}
    for index in folder.glob("*-*"):
        for note in index.glob("*") if index.is_dir() else ():
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
                if json.loads(note.read_bytes())["digest"].removeprefix("sha256:") in names:
                    note.unlink()
        # What an older version noted under another name ends so too, when its last blob does.
        with suppress(OSError):
            index.rmdir()
    forget(folder, names)
    freed = 0
    for file in [*(folder / "sha256" / name for name in names), *folder.glob(f"{UNFINISHED}*")]:
        with suppress(FileNotFoundError):
            freed += file.stat().st_size
            file.unlink()
    return freed
