"""A registry of the tests, one a module, with a proxy before it; and images to send there."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry import Descriptor, ImageIndex, ImageManifest, MediaType, OciLayout, Patience
from tests.plain_registry import plain_registry
from tests.ports import unused_port
from tests.registry.faulty import Proxy, faulty

QUICK = Patience(first=0.001, most=0.002, silence=20.0)
"""As many tries as ever, and no pauses to speak of."""


@pytest.fixture(scope="module")
def registry_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with plain_registry(tmp_path_factory.mktemp("registry"), unused_port()) as address:
        yield address


@pytest.fixture
def proxy(registry_address: str) -> Iterator[Proxy]:
    with faulty(registry_address) as running:
        yield running


class Maker:
    """Makes images in a layout."""

    def __init__(self, layout: OciLayout) -> None:
        self.layout = layout

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        return Descriptor(media_type=media_type, digest=self.layout.add_blob(data), size=len(data))

    def image(self, *layers: bytes, architecture: str = "amd64", **more: object) -> ImageManifest:
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, **more}
        return ImageManifest.create(
            config=self.blob(json.dumps(config).encode(), MediaType.OCI_CONFIG),
            layers=[self.blob(layer, MediaType.OCI_LAYER_GZIP) for layer in layers],
        )

    def descriptor(self, manifest: ImageManifest, **more: object) -> Descriptor:
        self.layout.add_blob(manifest.raw)
        return Descriptor(
            media_type=manifest.media_type,
            digest=manifest.digest,
            size=len(manifest.raw),
            **more,  # type: ignore[arg-type]
        )

    def index(self) -> ImageIndex:
        """Two platforms, and an attestation of the first, as BuildKit makes them."""
        images = {name: self.image(os.urandom(2000), architecture=name) for name in ("amd64", "arm64")}
        entries = [
            self.descriptor(image, platform={"os": "linux", "architecture": name}) for name, image in images.items()
        ]
        attested = ImageManifest.create(
            config=self.blob(b'{"architecture":"unknown","os":"unknown"}', MediaType.OCI_CONFIG),
            layers=[self.blob(b'{"predicateType":"https://slsa.dev/provenance/v0.2"}', MediaType.IN_TOTO)],
        )
        notes = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": images["amd64"].digest,
        }
        unknown = {"os": "unknown", "architecture": "unknown"}
        entries.append(self.descriptor(attested, platform=unknown, annotations=notes))
        return ImageIndex.create(entries)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(OciLayout.create(tmp_path / "made"))


@pytest.fixture
def noise() -> Callable[[int], bytes]:
    """Bytes that no codec makes smaller, the same in every run."""
    return random.Random(7).randbytes
