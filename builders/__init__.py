"""A build context in, an image out, and a smaller one after it: BuildKit as a subprocess, then the squash.

The face of the package; callers import from here only.
"""

from builders.archive import unpack_archive, write_archive
from builders.base import BaseImage, create_base
from builders.bill import Bill, LayerCost, Offer, Past
from builders.buildkit import BuildClient, ClientKind, build, find_build_client
from builders.ceiling import Ceiling, find_ceiling
from builders.engine import (
    Endpoint,
    EngineFacts,
    EngineImage,
    Resolution,
    engine_facts,
    find_engine,
    has_image,
    inspect_image,
    labelled,
    labelled_images,
    name_pushed,
    remove_image,
    remove_labelled_images,
    remove_tag,
    resolvable,
)
from builders.errors import (
    BuilderError,
    Cancelled,
    ClientError,
    ContextError,
    DiskFull,
    EngineError,
    ImageError,
    SquashError,
    StepFailed,
)
from builders.limits import Limits
from builders.load import load
from builders.model import (
    BuildEvent,
    BuildEventKind,
    BuildRequest,
    BuiltImage,
    RegistryLogin,
    SquashedImage,
    SquashMode,
)
from builders.opened import (
    ImageDiff,
    Inspection,
    OpenedImage,
    Setting,
    diff_images,
    inspect_opened,
    look_through,
    open_archive,
    open_engine_image,
    open_layout,
    squash_opened,
)
from builders.squash import base_layers, drop_damaged, squash
from builders.squash.blobs import Blob
from builders.squash.codec import Compression
from builders.squash.listing import ListedFile, ListedLayer, Listing
from builders.squash.member import printable
from builders.squash.spare import StoredBlob, remove_blobs, stored_blobs
from builders.squash.survey import SeenFile, Survey, Waste

__all__ = [
    "BaseImage",
    "Bill",
    "Blob",
    "BuildClient",
    "BuildEvent",
    "BuildEventKind",
    "BuildRequest",
    "BuilderError",
    "BuiltImage",
    "Cancelled",
    "Ceiling",
    "ClientError",
    "ClientKind",
    "Compression",
    "ContextError",
    "DiskFull",
    "Endpoint",
    "EngineError",
    "EngineFacts",
    "EngineImage",
    "ImageDiff",
    "ImageError",
    "Inspection",
    "LayerCost",
    "Limits",
    "ListedFile",
    "ListedLayer",
    "Listing",
    "Offer",
    "OpenedImage",
    "Past",
    "RegistryLogin",
    "Resolution",
    "SeenFile",
    "Setting",
    "SquashError",
    "SquashMode",
    "SquashedImage",
    "StepFailed",
    "StoredBlob",
    "Survey",
    "Waste",
    "base_layers",
    "build",
    "create_base",
    "diff_images",
    "drop_damaged",
    "engine_facts",
    "find_build_client",
    "find_ceiling",
    "find_engine",
    "has_image",
    "inspect_image",
    "inspect_opened",
    "labelled",
    "labelled_images",
    "load",
    "look_through",
    "name_pushed",
    "open_archive",
    "open_engine_image",
    "open_layout",
    "printable",
    "remove_blobs",
    "remove_image",
    "remove_labelled_images",
    "remove_tag",
    "resolvable",
    "squash",
    "squash_opened",
    "stored_blobs",
    "unpack_archive",
    "write_archive",
]
