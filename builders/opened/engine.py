"""An image out of the engine: from where it lies, or as the engine saves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builders.engine import Endpoint, inspect_image
from builders.opened.model import OpenedImage
from builders.squash.run import disk_full_named, read_image


def open_engine_image(reference: str, folder: Path, *, endpoint: Endpoint, check: Callable[[], None]) -> OpenedImage:
    """The engine's image of that name or ID, its layers where they lie, or in `folder`. What an engine holds it has
    unpacked before, so no limit is set. Raises EngineError ``image-missing``, SquashError ``archive-damaged``,
    DiskFull."""
    image = inspect_image(reference, endpoint=endpoint)
    with disk_full_named(folder):
        return OpenedImage(name=reference, source=read_image(image, endpoint, folder, check))
