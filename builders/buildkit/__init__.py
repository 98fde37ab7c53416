"""BuildKit, driven through a client on this machine: which one, with what arguments, and what it says."""

from builders.buildkit.client import BuildClient, find_build_client
from builders.buildkit.run import build

__all__ = ["BuildClient", "build", "find_build_client"]
