"""Base images for hosts that cannot pull from a public registry: Debian out of the host's own apt mirror."""

from builders.base.create import BaseImage, create_base

__all__ = ["BaseImage", "create_base"]
