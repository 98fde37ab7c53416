"""Blobs that are sent before the copy: what arrived is not sent again, and what did not is no loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry import Ahead, ImageRef, Patience, RegistryClient, RegistrySink, copy
from registry.copy import Way
from registry.places import LayoutSource
from tests.registry.conftest import QUICK, Maker
from tests.registry.faulty import Proxy

SIZE = 1_000_000


def _sent(proxy: Proxy) -> int:
    return sum(size for method, _, size in proxy.log if method in ("PATCH", "PUT", "POST"))


def test_what_was_sent_before_is_counted_and_not_sent_again(
    make: Maker, proxy: Proxy, noise: Callable[[int], bytes]
) -> None:
    manifest = make.image(noise(SIZE), b"small")
    make.layout.put_manifest(manifest, "a")
    first = manifest.layers[0]
    told = []
    with RegistryClient(proxy.address, patience=QUICK) as client:
        sink = RegistrySink(client=client, reference=ImageRef.parse(f"{proxy.address}/ahead/sent:v1"))
        with Ahead(sink, on_progress=lambda digest, gone, _: told.append((digest, gone))) as ahead:
            for _ in range(2):
                ahead.send(first, make.layout.blob_path(first.digest))
            result = copy(LayoutSource(layout=make.layout), sink, early=ahead.way)
        assert (result.sent_blobs, result.there_blobs) == (3, 0)
        assert told[-1] == (first.digest, SIZE)
        assert SIZE < _sent(proxy) < 1.1 * SIZE
        assert client.tags("ahead/sent") == ("v1",)


def test_what_did_not_arrive_is_sent_by_the_copy(make: Maker, proxy: Proxy, noise: Callable[[int], bytes]) -> None:
    manifest = make.image(noise(SIZE))
    make.layout.put_manifest(manifest, "a")
    first = manifest.layers[0]
    proxy.add(method="POST", path="uploads", status=403, times=1)
    with RegistryClient(proxy.address, patience=QUICK) as client:
        sink = RegistrySink(client=client, reference=ImageRef.parse(f"{proxy.address}/ahead/refused:v1"))
        with Ahead(sink) as ahead:
            ahead.send(first, make.layout.blob_path(first.digest))
            assert ahead.way(first.digest, lambda: False) is None
            result = copy(LayoutSource(layout=make.layout), sink, early=ahead.way)
        assert result.sent_blobs == 2
        assert client.get_manifest("ahead/refused", "v1").digest == manifest.digest


def test_a_blob_that_was_swept_after_it_was_sent_is_sent_once_more(
    make: Maker, proxy: Proxy, noise: Callable[[int], bytes]
) -> None:
    manifest = make.image(noise(SIZE))
    make.layout.put_manifest(manifest, "a")
    reference = ImageRef.parse(f"{proxy.address}/ahead/swept:v1")
    with RegistryClient(proxy.address, patience=QUICK) as client:
        sink = RegistrySink(client=client, reference=reference)
        asked: list[str] = []

        def early(digest: str, cancelled: Callable[[], bool]) -> Way | None:
            asked.append(digest)
            return Way.SENT if digest == manifest.layers[0].digest else None

        result = copy(LayoutSource(layout=make.layout), sink, early=early)
        assert result.sent_blobs == 1  # the configuration was there by then
        assert sorted(asked) == sorted({manifest.layers[0].digest, manifest.config.digest})
        assert client.get_manifest("ahead/swept", "v1").digest == manifest.digest


def test_its_end_awaits_no_registry_that_is_out_of_order(
    make: Maker, proxy: Proxy, noise: Callable[[int], bytes]
) -> None:
    blob = make.blob(noise(SIZE), "application/octet-stream")
    fault = proxy.add(method="POST", path="uploads", status=503, times=99)
    ahead: Ahead | None = None
    with RegistryClient(
        proxy.address, patience=Patience(), cancelled=lambda: ahead is not None and ahead.over
    ) as client:
        sink = RegistrySink(client=client, reference=ImageRef.parse(f"{proxy.address}/ahead/ends:v1"))
        with Ahead(sink) as ahead:
            ahead.send(blob, make.layout.blob_path(blob.digest))
            with pytest.raises(InterruptedError):
                ahead.way(blob.digest, lambda: fault.struck > 0)
    # Its end was reached: a client is patient for minutes, longer than a test may take.
    assert ahead.over
