"""A build context in, an image out, and a smaller one after it: BuildKit as a subprocess, then the squash.

The face of the package; callers import from here only.
"""

from builders.archive import unpack_archive, write_archive
from builders.base import BaseImage, create_base
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
    SquashError,
    StepFailed,
)
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
from builders.squash import drop_damaged, squash
from builders.squash.spare import StoredBlob, remove_blobs, stored_blobs

__all__ = [
    "BaseImage",
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
    "ContextError",
    "DiskFull",
    "Endpoint",
    "EngineError",
    "EngineFacts",
    "EngineImage",
    "RegistryLogin",
    "Resolution",
    "SquashError",
    "SquashMode",
    "SquashedImage",
    "StepFailed",
    "StoredBlob",
    "build",
    "create_base",
    "drop_damaged",
    "engine_facts",
    "find_build_client",
    "find_ceiling",
    "find_engine",
    "has_image",
    "inspect_image",
    "labelled",
    "labelled_images",
    "load",
    "name_pushed",
    "remove_blobs",
    "remove_image",
    "remove_labelled_images",
    "remove_tag",
    "resolvable",
    "squash",
    "stored_blobs",
    "unpack_archive",
    "write_archive",
]
