"""References, digests, manifests and OCI layouts, and the client that carries them to a registry.

The face of the package; callers import from here only. `builders` may use the modules `reference`, `manifest` and
`layout` alone.
"""

from registry.access import Access
from registry.ahead import Ahead
from registry.client import FetchedManifest, RegistryClient
from registry.copy import Cargo, CopyResult, collect, copy, require_platform
from registry.errors import (
    InvalidReference,
    LayoutError,
    RefusedError,
    RegistryError,
    StorageError,
    TransportError,
)
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageIndex, ImageManifest, MediaType, parse_manifest
from registry.patience import Patience
from registry.places import LayoutSink, LayoutSource, RegistrySink, RegistrySource
from registry.platform import Platform
from registry.push import PushResult, push
from registry.reference import ImageRef
from registry.referrers import Artifact, Attached, as_document, attach, attached
from registry.server import TokenLogin, registry_config
from registry.sessions import Sessions
from registry.subject import fallback_tag, subject_of_tag
from registry.upload import upload_blob

__all__ = [
    "Access",
    "Ahead",
    "Artifact",
    "Attached",
    "Cargo",
    "CopyResult",
    "Descriptor",
    "FetchedManifest",
    "ImageIndex",
    "ImageManifest",
    "ImageRef",
    "InvalidReference",
    "LayoutError",
    "LayoutSink",
    "LayoutSource",
    "MediaType",
    "OciLayout",
    "Patience",
    "Platform",
    "PushResult",
    "RefusedError",
    "RegistryClient",
    "RegistryError",
    "RegistrySink",
    "RegistrySource",
    "Sessions",
    "StorageError",
    "TokenLogin",
    "TransportError",
    "as_document",
    "attach",
    "attached",
    "collect",
    "copy",
    "fallback_tag",
    "parse_manifest",
    "push",
    "registry_config",
    "require_platform",
    "subject_of_tag",
    "upload_blob",
]
