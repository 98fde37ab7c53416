"""BuildKit, driven through Docker's command line as a subprocess."""

from builders.buildkit.client import BuildClient, ClientKind, find_build_client
from builders.buildkit.run import build

__all__ = ["BuildClient", "ClientKind", "build", "find_build_client"]
