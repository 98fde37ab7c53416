"""Platforms, and which of an index's images is for one."""

from __future__ import annotations

import platform as machine
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.errors import LayoutError, RegistryError
from registry.manifest import Descriptor, ImageIndex

_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}
_VARIANTS = {"arm64": "v8", "armv7l": "v7", "armv6l": "v6"}


class InvalidPlatform(RegistryError):
    """Not a platform."""

    kind = "usage"


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What an image runs on, in Go's words: ``linux``, ``arm64``, and perhaps ``v8``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm64`` or ``linux/arm/v7``. Raises InvalidPlatform (`invalid-platform`)."""
        parts = text.strip().lower().split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidPlatform(
                "invalid-platform", text or "''", "expected OS/ARCHITECTURE[/VARIANT]", hint="such as linux/amd64"
            )
        return cls(os=parts[0], architecture=_NAMES.get(parts[1], parts[1]), variant="".join(parts[2:]))

    @classmethod
    def here(cls) -> Platform:
        """This machine's, of a Linux: an engine elsewhere runs Linux too."""
        name = machine.machine().lower()
        return cls(os="linux", architecture=_NAMES.get(name, name), variant=_VARIANTS.get(name, ""))

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def fits(self, found: Mapping[str, Any] | None) -> bool:
        """Whether an image of the platform `found`, as descriptors and configurations have it, is for this one."""
        if not found or (found.get("os"), found.get("architecture")) != (self.os, self.architecture):
            return False
        theirs = str(found.get("variant") or "") or _VARIANTS.get(self.architecture, "")
        ours = self.variant or _VARIANTS.get(self.architecture, "")
        return not theirs or not ours or theirs == ours


def choose(index: ImageIndex, wanted: Platform, subject: str) -> Descriptor:
    """The image for a platform: one that says the variant before one that does not. Raises LayoutError
    (`no-such-platform`) with those there are."""
    fitting = [entry for entry in index.manifests if wanted.fits(entry.platform)]
    if not fitting:
        there = sorted({said for entry in index.manifests if (said := shown(entry.platform))})
        raise LayoutError(
            "no-such-platform",
            subject,
            f"it has no image for {wanted}, but for {', '.join(there) or 'none that it names'}",
            hint="--platform OS/ARCHITECTURE chooses another, --all-platforms takes all",
        )
    exact = [entry for entry in fitting if str((entry.platform or {}).get("variant") or "") == wanted.variant]
    return (exact or fitting)[0]


def shown(found: Mapping[str, Any] | None) -> str:
    """In words; nothing where it is of no platform, as attestations are."""
    if not found or found.get("os") == "unknown":
        return ""
    return "/".join(str(found[name]) for name in ("os", "architecture", "variant") if found.get(name))
