"""Images that were brought here from anywhere: their layers uncompressed, verified and within limits."""

from builders.opened.archive import open_archive
from builders.opened.diff import ImageDiff, Setting, diff_images
from builders.opened.engine import open_engine_image
from builders.opened.inspection import Inspection, inspect_opened
from builders.opened.layout import open_layout
from builders.opened.listed import look_through
from builders.opened.model import OpenedImage
from builders.opened.squashing import squash_opened

__all__ = [
    "ImageDiff",
    "Inspection",
    "OpenedImage",
    "Setting",
    "diff_images",
    "inspect_opened",
    "look_through",
    "open_archive",
    "open_engine_image",
    "open_layout",
    "squash_opened",
]
