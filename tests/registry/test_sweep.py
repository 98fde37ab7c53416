"""Pushing beside a sweep: a blob that is swept between its upload and the manifest must cost nobody an image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from registry import (
    ImageRef,
    LayoutSource,
    OciLayout,
    RefusedError,
    RegistryClient,
    RegistrySink,
    copy,
    registry_config,
)
from tests.plain_registry import PROGRAM, plain_registry
from tests.registry.conftest import Maker
from tests.registry.faulty import Proxy, faulty


@pytest.fixture
def swept(tmp_path: Path, free_port: int) -> Iterator[tuple[Proxy, Path]]:
    """A registry with the configuration of ours, behind a proxy, and its configuration's file."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with plain_registry(folder, free_port) as address, faulty(address) as proxy:
        yield proxy, folder / "config.yml"


def sweep(config: Path) -> None:
    subprocess.run([PROGRAM, "garbage-collect", str(config)], check=True, capture_output=True)


def push(layout: OciLayout, proxy: Proxy, reference: str) -> None:
    with RegistryClient(proxy.address) as client:
        named = ImageRef.parse(f"{proxy.address}/{reference}")
        copy(LayoutSource(layout=layout), RegistrySink(client=client, reference=named))


def fetch_all(layout: OciLayout, proxy: Proxy, repository: str, into: Path) -> None:
    manifest = layout.manifest()
    with RegistryClient(proxy.address) as client, into.open("wb") as file:
        assert client.get_manifest(repository, "v1").digest == manifest.digest
        for blob in (manifest.config, *manifest.layers):
            assert client.fetch_blob(repository, blob.digest, file) == blob.size


def test_what_was_swept_after_it_was_sent_is_sent_again(swept: tuple[Proxy, Path], make: Maker, tmp_path: Path) -> None:
    proxy, config = swept
    make.layout.put_manifest(make.image(os.urandom(100_000)))
    proxy.add(method="PUT", path="/manifests/", before=lambda: sweep(config))
    push(make.layout, proxy, "app:v1")
    fetch_all(make.layout, proxy, "app", tmp_path / "out")


def test_what_was_swept_after_the_registry_said_that_it_is_there_is_sent_again(
    swept: tuple[Proxy, Path], make: Maker, tmp_path: Path
) -> None:
    proxy, config = swept
    make.layout.put_manifest(make.image(os.urandom(100_000)))
    digest = make.layout.manifest().digest
    push(make.layout, proxy, "app:v1")
    with RegistryClient(proxy.address) as client:
        client.delete_manifest("app", digest)
    # The blobs are there until the next sweep, which comes when we have been told so.
    proxy.add(method="PUT", path="/manifests/", before=lambda: sweep(config))
    push(make.layout, proxy, "app:v1")
    fetch_all(make.layout, proxy, "app", tmp_path / "out")


def test_a_sweep_without_end_is_told(swept: tuple[Proxy, Path], make: Maker) -> None:
    proxy, config = swept
    make.layout.put_manifest(make.image(os.urandom(1000)))
    proxy.add(method="PUT", path="/manifests/", times=9, before=lambda: sweep(config))
    with pytest.raises(RefusedError) as caught:
        push(make.layout, proxy, "app:v1")
    assert caught.value.code in ("registry-manifest-blob-unknown", "registry-blob-unknown")
    with RegistryClient(proxy.address) as client:
        assert client.tags("app") == ()


def test_our_registry_remembers_no_blob_that_is_gone(tmp_path: Path) -> None:
    config = yaml.safe_load(registry_config(root=tmp_path, address="127.0.0.1", port=1))
    assert "cache" not in config["storage"], "2.8 says of swept blobs that they are there, and takes manifests of them"
