"""Whether a sweep of the registry would find anything: a real registry, which nothing is changed in."""

from __future__ import annotations

import os
from pathlib import Path

from imageforge.stack.tidy import has_garbage
from registry import ImageRef, LayoutSource, RegistryClient, RegistrySink, copy
from tests.plain_registry import PROGRAM, plain_registry
from tests.ports import unused_port
from tests.registry.conftest import Maker, make

__all__ = ["make"]


def test_a_sweep_has_something_to_do_once_blobs_are_nobodys(tmp_path: Path, make: Maker) -> None:
    image = make.image(os.urandom(1000))
    make.layout.put_manifest(image)
    folder = tmp_path / "registry"
    folder.mkdir()
    with plain_registry(folder, unused_port()) as address, RegistryClient(address) as client:
        config = str(folder / "config.yml")
        assert not has_garbage(PROGRAM, config, folder / "data"), "nothing was pushed there"
        reference = ImageRef(registry=address, repository="app", tag="v1")
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
        assert not has_garbage(PROGRAM, config, folder / "data"), "all of it is the image's"
        client.delete_manifest("app", image.digest)
        assert has_garbage(PROGRAM, config, folder / "data")
        assert client.has_blob("app", image.layers[0].digest), "it is looked at, and not removed"


def test_what_cannot_be_looked_at_is_swept_which_says_what_is_amiss(tmp_path: Path) -> None:
    (tmp_path / "docker" / "registry" / "v2" / "repositories").mkdir(parents=True)
    assert has_garbage(PROGRAM, str(tmp_path / "missing.yml"), tmp_path)
