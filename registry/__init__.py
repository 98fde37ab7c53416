"""References, digests, manifests and OCI layouts, and the client that carries them to a registry.

The face of the package; callers import from here only. `builders` may use the modules `reference`, `manifest` and
`layout` alone.
"""

from registry.client import FetchedManifest, RegistryClient
from registry.errors import InvalidReference, LayoutError, RefusedError, RegistryError, TransportError
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType
from registry.push import PushResult, push
from registry.reference import ImageRef
from registry.server import TokenLogin, registry_config

__all__ = [
    "Descriptor",
    "FetchedManifest",
    "ImageManifest",
    "ImageRef",
    "InvalidReference",
    "LayoutError",
    "MediaType",
    "OciLayout",
    "PushResult",
    "RefusedError",
    "RegistryClient",
    "RegistryError",
    "TokenLogin",
    "TransportError",
    "push",
    "registry_config",
]
