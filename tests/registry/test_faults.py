"""Uploads over networks that break and to registries that fail: a real registry, and a proxy before it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import (
    ImageRef,
    LayoutSource,
    OciLayout,
    Patience,
    RefusedError,
    RegistryClient,
    RegistryError,
    RegistrySink,
    Sessions,
    TransportError,
    copy,
)
from registry.upload import CHUNK
from tests.registry.conftest import QUICK, Maker
from tests.registry.faulty import Proxy

BIG = 2 * CHUNK + 12345
UPLOADS = "/blobs/uploads/"


_numbers = itertools.count()


@pytest.fixture
def repository() -> str:
    """One that no other test has pushed to."""
    return f"app-{next(_numbers)}"


@pytest.fixture
def layout(make: Maker, noise: Callable[[int], bytes]) -> OciLayout:
    """An image of one layer that goes in three chunks."""
    make.layout.put_manifest(make.image(noise(BIG)))
    return make.layout


def send(
    layout: OciLayout,
    proxy: Proxy,
    repository: str,
    *,
    uploads: Path | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    patience: Patience = QUICK,
) -> str:
    with RegistryClient(proxy.address, patience=patience, cancelled=cancelled) as client:
        reference = ImageRef.parse(f"{proxy.address}/{repository}:v1")
        sink = RegistrySink(client=client, reference=reference, sessions=Sessions(uploads))
        return copy(LayoutSource(layout=layout), sink, cancelled=cancelled).digest


def arrived(layout: OciLayout, address: str, repository: str) -> bool:
    """Whether the registry has the image under its tag, every blob of it with its bytes."""
    with RegistryClient(address) as client:
        if "v1" not in client.tags(repository):
            return False
        manifest = layout.manifest()
        assert client.get_manifest(repository, "v1").digest == manifest.digest
        with Path("/dev/null").open("wb") as nowhere:
            for blob in (manifest.config, *manifest.layers):
                assert client.fetch_blob(repository, blob.digest, nowhere) == blob.size
        return True


def test_a_registry_that_fails_before_a_chunk_is_gone_on_with(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str
) -> None:
    proxy.add(method="PATCH", after=1, status=500)
    proxy.add(method="PATCH", after=2, status=503, headers={"Retry-After": "0"})
    send(layout, proxy, repository)
    assert arrived(layout, registry_address, repository)
    # What had arrived was not sent again, and the registry was asked where to go on.
    assert proxy.sent("PATCH") == BIG
    assert proxy.count("GET", UPLOADS) == 2


def test_a_connection_that_breaks_within_a_chunk_costs_no_tag(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str
) -> None:
    # This registry signs the offset into the address, and forgets an upload that broke within a chunk.
    proxy.add(method="PATCH", after=1, cut_request=1_000_000)
    send(layout, proxy, repository)
    assert arrived(layout, registry_address, repository)
    # Asked before it has noticed, it says where the chunk began, and refuses that one in the middle.
    assert 0 <= proxy.sent("PATCH") - (BIG + CHUNK + 1_000_000) < CHUNK


def test_one_that_breaks_every_time_is_given_up(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str
) -> None:
    proxy.add(method="PATCH", times=99, cut_request=1_000_000)
    with pytest.raises(TransportError) as caught:
        send(layout, proxy, repository)
    assert caught.value.code == "registry-unreachable"
    assert not arrived(layout, registry_address, repository)
    assert proxy.count("PATCH") <= 5


def test_an_answer_that_is_lost_is_no_second_upload(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str
) -> None:
    digest = layout.manifest().layers[0].digest.removeprefix("sha256:")
    proxy.add(method="PUT", path=digest, cut_answer=0)
    send(layout, proxy, repository)
    assert arrived(layout, registry_address, repository)
    assert proxy.sent("PATCH") == BIG


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
@pytest.mark.parametrize(
    "fault", [{"status": 502}, {"cut_answer": 0}, {"status": 429, "headers": {"Retry-After": "0"}}]
)
def test_each_request_is_tried_again(
    make: Maker, proxy: Proxy, registry_address: str, repository: str, method: str, fault: dict[str, object]
) -> None:
    make.layout.put_manifest(make.image(b"small"))
    proxy.add(method=method, times=2, **fault)
    send(make.layout, proxy, repository)
    assert arrived(make.layout, registry_address, repository)


def test_an_interrupted_push_goes_on_with_the_next_call(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str, tmp_path: Path
) -> None:
    stop = threading.Event()
    # The second chunk's answer comes, and somebody has pressed Ctrl-C.
    proxy.add(method="PATCH", after=1, change=lambda body: stop.set() or body)
    with pytest.raises(InterruptedError):
        send(layout, proxy, repository, uploads=tmp_path / "uploads", cancelled=stop.is_set)
    (kept,) = (tmp_path / "uploads").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not arrived(layout, registry_address, repository)
    send(layout, proxy, repository, uploads=tmp_path / "uploads")
    assert arrived(layout, registry_address, repository)
    assert proxy.sent("PATCH") == BIG
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_the_registry_has_forgotten_is_begun_again(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    proxy.add(method="PATCH", after=1, times=9, status=500)
    with pytest.raises(TransportError) as caught:
        send(layout, proxy, repository, uploads=uploads)
    assert caught.value.code == "registry-failed"
    assert len(list(uploads.iterdir())) == 1
    proxy.faults.clear()
    proxy.add(method="GET", path=UPLOADS, status=404)
    send(layout, proxy, repository, uploads=uploads)
    assert arrived(layout, registry_address, repository)


def test_chunks_become_smaller_where_they_are_too_large(
    layout: OciLayout, proxy: Proxy, registry_address: str, repository: str
) -> None:
    proxy.add(method="PATCH", times=2, status=413)
    send(layout, proxy, repository)
    assert arrived(layout, registry_address, repository)
    assert max(size for method, _, size in proxy.log if method == "PATCH") == CHUNK // 4


REFUSALS = [
    ({"status": 401, "headers": {"WWW-Authenticate": 'Basic realm="r"'}}, "registry-unauthorized", "docker login"),
    ({"status": 403}, "registry-denied", "may not"),
    ({"status": 403, "body": b'{"errors":[{"code":"DENIED","message":"no\\u001b[2J"}]}'}, "registry-denied", "may not"),
    ({"status": 404}, "registry-not-found", "name"),
    ({"status": 413}, "registry-too-large", "limit"),
    ({"status": 429, "headers": {"Retry-After": "3600"}}, "registry-toomanyrequests", "3600 s"),
    ({"status": 429, "headers": {"Retry-After": "0"}}, "registry-toomanyrequests", "wait"),
    ({"status": 500}, "registry-failed", "log"),
    ({"status": 503, "body": b"<html>"}, "registry-failed", "log"),
    ({"status": 507}, "registry-full", "room"),
]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("fault", "code", "hint"), REFUSALS)
def test_a_refusal_has_a_code_and_a_hint_and_makes_no_tag(
    make: Maker,
    proxy: Proxy,
    registry_address: str,
    repository: str,
    method: str,
    fault: dict[str, object],
    code: str,
    hint: str,
) -> None:
    make.layout.put_manifest(make.image(b"small"))
    proxy.add(method=method, times=999, **fault)
    with pytest.raises(RegistryError) as caught:
        send(make.layout, proxy, repository)
    assert caught.value.code == code
    assert hint in (caught.value.hint or "")
    assert caught.value.message.isprintable()
    assert not arrived(make.layout, registry_address, repository)
    # Both blobs are at it, each with its own patience.
    assert proxy.count(method) <= 2 * QUICK.tries + 2


def test_a_registry_that_hangs_is_not_waited_for_without_end(make: Maker, proxy: Proxy, repository: str) -> None:
    make.layout.put_manifest(make.image(b"small"))
    release = threading.Event()
    proxy.add(method="POST", times=99, hang=release)
    try:
        with pytest.raises(TransportError) as caught:
            send(make.layout, proxy, repository, patience=Patience(first=0.001, silence=0.3))
    finally:
        release.set()
    assert caught.value.code == "registry-unreachable"
    assert "no answer" in caught.value.message


def test_a_manifest_that_is_refused_leaves_the_tag_where_it_was(
    make: Maker, proxy: Proxy, registry_address: str, repository: str
) -> None:
    first = make.image(b"first")
    make.layout.put_manifest(first)
    send(make.layout, proxy, repository)
    make.layout.put_manifest(make.image(b"second"))
    proxy.add(method="PUT", path="/manifests/", times=9, status=400, body=b'{"errors":[{"code":"MANIFEST_INVALID"}]}')
    with pytest.raises(RefusedError) as caught:
        send(make.layout, proxy, repository)
    assert caught.value.code == "registry-manifest-invalid"
    with RegistryClient(registry_address) as client:
        assert client.get_manifest(repository, "v1").digest == first.digest


def test_blobs_are_mounted_from_where_they_are(make: Maker, proxy: Proxy, repository: str) -> None:
    make.layout.put_manifest(make.image(repository.encode() * 99))
    send(make.layout, proxy, repository)
    before = proxy.sent("PUT")
    with RegistryClient(proxy.address) as client:
        sink = RegistrySink(
            client=client,
            reference=ImageRef.parse(f"{proxy.address}/{repository}-other:v1"),
            mount_from=lambda: ("nobody/has-this", repository),
        )
        result = copy(LayoutSource(layout=make.layout), sink)
    assert (result.sent_blobs, result.mounted_blobs) == (0, 2)
    assert proxy.sent("PUT") - before == len(make.layout.manifest().raw)
