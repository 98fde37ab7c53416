"""Random layered images that an engine takes: what it shows of them, and of their squashes, is what the oracle says.

Builders write an entry for every folder on the way and do not hide what the same layer brings; an engine may read the
rest in its own way, so these layers are made as builders make them.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .layers import MARK, OPAQUE, Item, State, apply, clean, folder, items_of, merged, seen, squash_layers, tar_of
from .test_property import NAMES, stack

pytestmark = pytest.mark.engine
Stack = list[list[Item]]


def as_built(layers: Stack) -> Stack:
    """The layers as a builder would have written them, without those that it could not have."""
    lower: State = {}
    result: Stack = []
    for items in layers:
        built = _as_built(items, lower)
        if built:
            result.append(built)
            apply(lower, built)
    return result


def _as_built(items: Sequence[Item], lower: State) -> list[Item]:
    brought = {item.path for item in items if not item.name.startswith(MARK)}
    parents = {parent for item in items for parent in _parents(item.path)}
    kept: list[Item] = []
    paths: dict[str, Item] = {}
    for item in items:
        hidden = clean(f"{item.parent}/{item.name.removeprefix(MARK)}")
        if item.name.startswith(MARK) and item.name != OPAQUE and hidden in brought | parents:
            continue
        if item.kind == "hardlink":
            if item.target not in paths:
                continue  # to what only a lower layer has: no builder writes one
            target = paths[item.target]
            item = item.but(mode=target.mode, mtime=target.mtime)  # noqa: PLW2901 - as they are one file
        if item.name.startswith(MARK) and not _stands(item, lower):
            continue
        kept.append(item)
        paths[item.path] = item
    folders = {parent for path in paths for parent in _parents(path)} - paths.keys()
    return [
        *(folder(path, mtime="7") for path in sorted(folders)),
        *sorted(kept, key=lambda item: item.kind != "folder"),
    ]


def _stands(marker: Item, lower: State) -> bool:
    """Whether all above what is hidden is a folder below as well."""
    return all(parent in lower and lower[parent].item.kind == "folder" for parent in _parents(marker.path))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def archive(images: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """What `docker load` reads: images by tag, each of uncompressed layers."""
    buffer, index, written = io.BytesIO(), [], set[str]()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, content: bytes) -> str:
            if name not in written:
                written.add(name)
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            return name

        for tag, raws in images:
            hexes = [hashlib.sha256(raw).hexdigest() for raw in raws]
            config = {
                "os": "linux",
                "architecture": "amd64",
                "config": {"Cmd": ["none"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in hexes]},
            }
            text = json.dumps(config).encode()
            names = [add(f"{digest}/layer.tar", raw) for digest, raw in zip(hexes, raws, strict=True)]
            told = add(f"{hashlib.sha256(text).hexdigest()}.json", text)
            index.append({"Config": told, "RepoTags": [tag], "Layers": names})
        add("manifest.json", json.dumps(index).encode())
    return buffer.getvalue()


def shown(client: docker.DockerClient, tag: str, instance: str) -> dict[str, object]:
    """What a container of the image begins with, but for what the engine puts there itself."""
    container = client.api.create_container(tag, labels={"io.imageforge.instance": instance})
    try:
        exported = b"".join(client.api.export(container["Id"]))
    finally:
        client.api.remove_container(container["Id"])
    found = [item.but(mode=item.mode & 0o7777) for item in items_of(exported)]  # engines add the type's bits
    return seen(merged([[item for item in found if clean(item.path).split("/")[0] in NAMES]]))


def variants(layers: Stack, folder_: Path) -> Iterator[tuple[str, list[bytes]]]:
    """As built, all layers as one, and all but the lowest as one."""
    raws = [tar_of(items) for items in layers]
    yield "built", raws
    for start in range(min(2, len(raws))):
        squashed = squash_layers(folder_ / str(start), raws, start=start).raws
        if squashed:
            yield f"from-{start}", squashed


def agree(stacks: Sequence[Stack], client: docker.DockerClient, instance: str) -> int:
    """How many images the engine was asked for."""
    built = [layers for layers in map(as_built, stacks) if layers]
    images: list[tuple[str, list[bytes]]] = []
    meant: dict[str, Stack] = {}
    with tempfile.TemporaryDirectory() as work:
        for number, layers in enumerate(built):
            for name, raws in variants(layers, Path(work) / str(number)):
                tag = f"imageforge-test/{instance}:agrees-{number}-{name}"
                images.append((tag, raws))
                meant[tag] = layers
    if not images:
        return 0
    for answer in client.api.load_image(archive(images)):
        assert "error" not in answer, answer
    try:
        for tag, layers in meant.items():
            found, expected = shown(client, tag, instance), seen(merged(layers))
            differing = {path for path in found | expected if found.get(path) != expected.get(path)}
            assert not differing, (tag, {path: (found.get(path), expected.get(path)) for path in differing}, layers)
    finally:
        for tag in meant:
            client.api.remove_image(tag, force=True)
    return len(images)


def test_the_engine_shows_what_the_oracle_says(docker_client: docker.DockerClient, instance: str) -> None:
    asked: list[int] = []

    @settings(
        max_examples=3,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(stacks=st.lists(stack(), min_size=10, max_size=10))
    def some(stacks: list[Stack]) -> None:
        asked.append(agree(stacks, docker_client, instance))

    some()
    assert sum(asked) >= 20, asked


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_engine_shows_what_the_oracle_says_of_many(docker_client: docker.DockerClient, instance: str) -> None:
    asked: list[int] = []

    @settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(stacks=st.lists(stack(), min_size=10, max_size=10))
    def many(stacks: list[Stack]) -> None:
        asked.append(agree(stacks, docker_client, instance))

    many()
    assert sum(asked) >= 200, asked
