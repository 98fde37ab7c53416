"""Where an image is, in skopeo's words."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imageforge.errors import UsageError
from registry import ImageRef

_PLACES = "docker-daemon:NAME, docker-archive:FILE[:NAME], oci:DIR[:TAG] or docker://REF"


class Transport(StrEnum):
    """The words before the colon."""

    ENGINE = "docker-daemon"
    ARCHIVE = "docker-archive"
    LAYOUT = "oci"
    REGISTRY = "docker"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageName:
    """An image: in the engine (`reference`, or None where `tag` is its ID), in a file (`path`, and perhaps the
    `reference` that it has there), in a layout (`path` and perhaps a `tag`), in a registry (`reference`). `text` is
    what was written."""

    transport: Transport
    text: str
    path: Path | None = None
    tag: str | None = None
    reference: ImageRef | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def file(self) -> Path:
        """Of those that have one."""
        assert self.path is not None, self.text
        return self.path

    @property
    def named(self) -> ImageRef:
        """Of those that have one."""
        assert self.reference is not None, self.text
        return self.reference

    @classmethod
    def parse(cls, text: str, *, bare: Transport = Transport.ENGINE) -> ImageName:
        """Read ``docker-daemon:NAME``, ``docker-archive:FILE[:NAME]``, ``oci:DIR[:TAG]``, ``docker://REF``; a name with
        none of these words before it is `bare`.

        Raises UsageError (`unknown-transport`, `invalid-image-name`), InvalidReference.
        """
        word, colon, rest = text.partition(":")
        if not colon or word not in set(Transport):
            # A tag has no slash in it, and a port is a number: so this is no name of an image.
            misspelt = "/" in rest and not re.match(r"\d+/", rest)
            meant = difflib.get_close_matches(word, list(Transport), n=1, cutoff=0.7) if misspelt else []
            if (
                "://" in text
                or meant
                or word in ("dir", "containers-storage", "ostree", "sif", "tarball", "oci-archive")
            ):
                raise UsageError(
                    "unknown-transport",
                    text,
                    f"`{word}:` is no place that images are copied from or to",
                    hint=f"did you mean {_example(Transport(meant[0]))}?" if meant else _PLACES,
                )
            word, rest = bare.value, f"//{text}" if bare is Transport.REGISTRY else text
        transport = Transport(word)
        if transport is Transport.REGISTRY:
            return _in_registry(text, rest)
        if not rest:
            raise UsageError("invalid-image-name", text, "nothing follows the colon", hint=_example(transport))
        if transport is Transport.LAYOUT:
            folder, tag = _split(rest)
            return cls(transport=transport, text=text, path=Path(folder), tag=tag)
        if transport is Transport.ARCHIVE:
            file, separator, name = rest.partition(":")
            named = ImageRef.parse(name) if separator else None
            return cls(transport=transport, text=text, path=Path(file), reference=_tagged(named) if named else None)
        return cls(transport=transport, text=text, reference=_engine_name(rest), tag=rest)


def _in_registry(text: str, rest: str) -> ImageName:
    if not rest.startswith("//"):
        raise UsageError("invalid-image-name", text, "expected docker://REF", hint=_example(Transport.REGISTRY))
    reference = _tagged(ImageRef.parse(rest.removeprefix("//")))
    return ImageName(transport=Transport.REGISTRY, text=f"docker://{reference.familiar}", reference=reference)


def _engine_name(text: str) -> ImageRef | None:
    """The name, or None where it is an image's ID."""
    identity = text.removeprefix("sha256:")
    if len(identity) in (12, 64) and all(mark in "0123456789abcdef" for mark in identity):
        return None
    return _tagged(ImageRef.parse(text))


def _tagged(reference: ImageRef) -> ImageRef:
    return reference if reference.tag or reference.digest else reference.with_tag("latest")


def _split(rest: str) -> tuple[str, str | None]:
    """A folder's own name may have no colon, as with skopeo; what follows the first one is the image's name there."""
    folder, separator, tag = rest.partition(":")
    if separator and not tag:
        raise UsageError("invalid-image-name", f"oci:{rest}", "nothing follows the last colon", hint="oci:DIR[:TAG]")
    return folder, tag or None


def _example(transport: Transport) -> str:
    return {
        Transport.ENGINE: "docker-daemon:shop:42",
        Transport.ARCHIVE: "docker-archive:shop.tar",
        Transport.LAYOUT: "oci:/srv/images/shop:42",
        Transport.REGISTRY: "docker://registry.example.org/shop:42",
    }[transport]
