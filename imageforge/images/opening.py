"""Bringing an image here to be looked into: its layers as files, whatever place it is in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from builders import (
    EngineError,
    ImageError,
    Limits,
    OpenedImage,
    inspect_image,
    open_archive,
    open_engine_image,
    open_layout,
)
from imageforge.errors import UsageError
from imageforge.images.carry import Carrier, Source
from imageforge.images.name import ImageName, Transport
from registry import (
    Cargo,
    ImageIndex,
    ImageRef,
    InvalidReference,
    LayoutSink,
    Platform,
    RegistryError,
    collect,
    copy,
    parse_manifest,
    require_platform,
)

SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Opener:
    """How images are opened: with a copy's means, within limits, for a platform where one is asked for."""

    carrier: Carrier
    limits: Limits = field(default_factory=Limits)
    platform: Platform | None = None
    on_progress: Callable[[str, int, int], None] | None = None
    on_plan: Callable[[Cargo], None] | None = None

    def open(self, name: ImageName, folder: Path) -> OpenedImage:
        """The image with its layers uncompressed in `folder`, which is empty. Of an index it is the one for the
        platform that was asked for, else this machine's.

        Raises the packages' errors: `image-missing`, `no-such-platform`, `wrong-diff-id`, `layer-bomb`, …
        """
        folder.mkdir(parents=True, exist_ok=True)
        if name.transport is Transport.ENGINE:
            opened = open_engine_image(
                name.tag or str(name.named), folder, endpoint=self.carrier.engine(), check=self.carrier.check
            )
        elif name.transport is Transport.ARCHIVE:
            self._refuse_inner_name(name)
            opened = open_archive(name.file, folder, name=str(name), limits=self.limits, check=self.carrier.check)
        else:
            return self._bring(name, folder)
        if self.platform is not None and not self.platform.fits(opened.source.config):
            said = "/".join(str(opened.source.config.get(key)) for key in ("os", "architecture"))
            raise ImageError("no-such-platform", str(name), f"it is for {said}, and {self.platform} was asked for")
        return opened

    def layers(self, name: ImageName) -> tuple[str, ...]:
        """The diff-IDs of an image; nothing but its configuration is read, where it has a place of its own."""
        if name.transport is Transport.ENGINE:
            return inspect_image(name.tag or str(name.named), endpoint=self.carrier.engine()).diff_ids
        with self.carrier.source(name) as source:
            manifest, media_type = collect(source, self._wanted(source)).manifests[-1]
            found = parse_manifest(manifest, media_type)
            assert not isinstance(found, ImageIndex), "one was chosen"
            with (
                self.carrier.scratch() as staging,
                source.blob(found.config, staging, lambda _: None, self.carrier.cancelled.is_set) as file,
            ):
                return _diff_ids(file.read_bytes(), str(name))

    def base(self, given: str | None, image: OpenedImage, source: ImageName) -> tuple[str, ...] | None:
        """The diff-IDs of the image's base: of the one that was `given`, else of the one that the image itself names
        (OCI's annotations), looked for in the engine and, for an image of a registry, there. None where that is
        nowhere; one that was given must be somewhere."""
        if given is not None:
            return () if given == SCRATCH else self.layers(ImageName.parse(given))
        if image.base_name is None:
            return None
        # What an image says leads to no file, and to no registry but its own: anybody may have written it.
        places = ["docker-daemon:"]
        if source.transport is Transport.REGISTRY and _registry(image.base_name) == source.named.registry:
            places.append("docker://")
        for place in places:
            try:
                return self.layers(ImageName.parse(f"{place}{image.base_name}"))
            except (EngineError, RegistryError, ImageError, UsageError):
                continue
        return None

    def _bring(self, name: ImageName, folder: Path) -> OpenedImage:
        layout = folder / "brought"
        with self.carrier.source(name) as source:
            copy(
                source,
                LayoutSink(path=layout),
                platform=self._wanted(source),
                on_progress=self.on_progress,
                on_plan=lambda cargo: self._plan(cargo, name),
                cancelled=self.carrier.cancelled.is_set,
            )
        return open_layout(layout, folder, name=str(name), limits=self.limits, check=self.carrier.check)

    def _plan(self, cargo: Cargo, name: ImageName) -> None:
        size = sum(blob.size for blob in cargo.blobs)
        if size > self.limits.total:
            raise ImageError(
                "image-too-large",
                str(name),
                f"its blobs have {size:,} bytes, and {self.limits.total:,} are allowed",
                hint="--max-bytes N, if you trust it",
            )
        if self.on_plan is not None:
            self.on_plan(cargo)

    def _wanted(self, source: Source) -> Platform | None:
        """An image for another machine can be looked into as well; only of several one must be chosen."""
        is_index = isinstance(parse_manifest(*source.top()), ImageIndex)
        if self.platform is None:
            return Platform.here() if is_index else None
        if not is_index:
            require_platform(source, self.platform)
        return self.platform

    @staticmethod
    def _refuse_inner_name(name: ImageName) -> None:
        if name.reference is not None:
            raise UsageError(
                "archive-has-one-image",
                str(name),
                "an archive is read that holds one image, which needs no name",
                hint=f"docker-archive:{name.file}",
            )


def _registry(name: str) -> str | None:
    try:
        return ImageRef.parse(name).registry
    except InvalidReference:
        return None


def _diff_ids(raw: bytes, name: str) -> tuple[str, ...]:
    """Out of a configuration. Raises ImageError ``image-damaged``."""
    try:
        found = json.loads(raw)["rootfs"]["diff_ids"] or ()
        return tuple(str(diff_id) for diff_id in found)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ImageError("image-damaged", name, f"its configuration names no layers: {error!r}") from error
