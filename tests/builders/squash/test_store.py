"""An engine's folders made by hand: what is read out of them, and what of them is not believed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from builders.engine import Endpoint, EngineFacts
from builders.squash.source import SourceImage
from builders.squash.store import chain_ids, read_store
from builders.squash.stream import stream

from .layers import file, folder, tar_of
from .splits import split_layer

RAWS = [tar_of([folder("d"), file("d/a", b"a" * 1000)]), tar_of([file("d/b", b"b")])]
DIFF_IDS = [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in RAWS]
CONFIG = json.dumps({"rootfs": {"diff_ids": DIFF_IDS}}).encode()
IMAGE = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
HERE = Endpoint(host="unix:///nowhere", origin="the system")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    config = tmp_path / "image/overlay2/imagedb/content/sha256" / IMAGE.removeprefix("sha256:")
    config.parent.mkdir(parents=True)
    config.write_bytes(CONFIG)
    for number, (raw, chain) in enumerate(zip(RAWS, chain_ids(DIFF_IDS), strict=True)):
        split_layer(tmp_path / "overlay2" / f"cache{number}", raw)
        record = tmp_path / "image/overlay2/layerdb/sha256" / chain.removeprefix("sha256:")
        record.mkdir(parents=True)
        (tmp_path / "overlay2" / f"cache{number}" / "tar-split.json.gz").rename(record / "tar-split.json.gz")
        (record / "cache-id").write_text(f"cache{number}\n")
    return tmp_path


FACTS = EngineFacts(
    version="20.10.24",
    api_version="1.41",
    os="linux",
    architecture="x86_64",
    storage_driver="overlay2",
    root_dir="",
    containerd_store=False,
    cpus=2,
    memory=1 << 30,
    frontend=(1, 2),
)


def read(
    root: Path, *, endpoint: Endpoint = HERE, known: Mapping[str, int] = MappingProxyType({}), **changes: object
) -> SourceImage | None:
    facts = replace(FACTS, root_dir=str(root), **changes)  # type: ignore[arg-type]
    return read_store(IMAGE, endpoint=endpoint, facts=facts, known=known)


def test_the_layers_are_where_they_lie(root: Path) -> None:
    image = read(root)
    assert image is not None
    assert image.config_bytes == CONFIG
    assert [layer.size for layer in image.layers] == [len(raw) for raw in RAWS]
    for layer, raw in zip(image.layers, RAWS, strict=True):
        layer.verify(lambda: None)
        assert b"".join(stream(layer.pieces())) == raw


def test_a_size_that_is_known_is_not_reckoned(root: Path) -> None:
    found = read(root, known={DIFF_IDS[0]: 12345})
    assert found is not None
    assert [layer.size for layer in found.layers] == [12345, len(RAWS[1])]


def test_engines_whose_folders_say_nothing(root: Path) -> None:
    assert read(root, endpoint=Endpoint(host="tcp://10.0.0.1:2375", origin="DOCKER_HOST")) is None
    assert read(root, storage_driver="vfs") is None
    assert read(root, containerd_store=True) is None
    assert read(root / "elsewhere") is None


def of_layer(root: Path, number: int, name: str) -> Path:
    return root / "image/overlay2/layerdb/sha256" / chain_ids(DIFF_IDS)[number].removeprefix("sha256:") / name


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: of_layer(root, 1, "tar-split.json.gz").unlink(),
        lambda root: of_layer(root, 1, "tar-split.json.gz").write_bytes(b"no gzip"),
        lambda root: of_layer(root, 0, "cache-id").unlink(),
        lambda root: shutil.rmtree(root / "image/overlay2/layerdb"),
        lambda root: (root / "image/overlay2/imagedb/content/sha256" / IMAGE[7:]).write_bytes(b"{}"),
    ],
    ids=["no list", "a damaged list", "no folder", "no layers", "another image"],
)
def test_folders_that_are_not_as_they_should_be(root: Path, damage: Callable[[Path], object]) -> None:
    damage(root)
    assert read(root) is None
