"""What comes from a registry: resumed, checked, chosen; and refused where it is not what it says."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import (
    Descriptor,
    ImageIndex,
    ImageManifest,
    ImageRef,
    LayoutError,
    LayoutSink,
    LayoutSource,
    MediaType,
    OciLayout,
    Patience,
    Platform,
    RefusedError,
    RegistryClient,
    RegistryError,
    RegistrySink,
    RegistrySource,
    TransportError,
    copy,
)
from registry.manifest import canonical_json
from registry.platform import choose
from tests.registry.conftest import QUICK, Maker
from tests.registry.faulty import Proxy

SIZE = 5_000_000


@pytest.fixture
def pushed(make: Maker, proxy: Proxy, noise: Callable[[int], bytes], request: pytest.FixtureRequest) -> ImageRef:
    """An image of one layer of SIZE bytes."""
    make.layout.put_manifest(make.image(noise(SIZE)))
    reference = ImageRef.parse(f"{proxy.address}/pull:v{abs(hash(request.node.name))}")
    push(make.layout, reference)
    proxy.log.clear()
    return reference


def push(layout: OciLayout, reference: ImageRef) -> None:
    with RegistryClient(reference.registry, patience=QUICK) as client:
        copy(LayoutSource(layout=layout), RegistrySink(client=client, reference=reference))


def pull(
    reference: ImageRef,
    folder: Path,
    *,
    platform: Platform | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    patience: Patience = QUICK,
) -> OciLayout:
    with RegistryClient(reference.registry, patience=patience) as client:
        copy(
            RegistrySource(client=client, reference=reference),
            LayoutSink(path=folder, ref_name="it"),
            platform=platform,
            cancelled=cancelled,
        )
    layout = OciLayout.open(folder)
    layout.verify("it")
    return layout


def fetched(proxy: Proxy) -> int:
    return proxy.count("GET", "/blobs/")


def test_a_download_that_breaks_goes_on_where_it_was(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    sizes: list[int] = []
    big = f"/blobs/{_layer(pushed, proxy)}"
    proxy.add(method="GET", path=big, cut_answer=2_000_000)
    proxy.add(method="GET", path=big, status=500)
    proxy.add(method="GET", path=big, change=lambda body: sizes.append(len(body)) or body)
    pull(pushed, tmp_path / "pulled")
    assert len(sizes) == 1
    assert SIZE - 2_000_000 <= sizes[0] < SIZE
    assert not (tmp_path / "pulled" / ".partial").exists()


def test_an_interrupted_pull_goes_on_with_the_next_call(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    sizes: list[int] = []
    digest = _layer(pushed, proxy)
    big = f"/blobs/{digest}"
    proxy.add(method="GET", path=big, times=9, cut_answer=2_000_000)
    with pytest.raises(TransportError) as caught:
        pull(pushed, tmp_path / "pulled", patience=Patience(tries=1))
    assert caught.value.code == "registry-unreachable"
    layout = OciLayout.open(tmp_path / "pulled")
    assert layout.names() == ()
    # Of the others, too, one may have been on its way when this one failed.
    have = (tmp_path / "pulled" / ".partial" / f"{digest.removeprefix('sha256:')}.part").stat().st_size
    assert 0 < have <= 2_000_000
    proxy.faults.clear()
    proxy.add(method="GET", path=big, change=lambda body: sizes.append(len(body)) or body)
    pull(pushed, tmp_path / "pulled")
    assert sizes == [SIZE - have]


def _layer(reference: ImageRef, proxy: Proxy) -> str:
    with RegistryClient(proxy.address) as client:
        raw = client.get_manifest(reference.repository, reference.tag or "").raw
    return ImageManifest.parse(raw).layers[0].digest


def test_what_lies_there_and_is_wrong_is_fetched_anew(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    folder = tmp_path / "pulled" / ".partial"
    folder.mkdir(parents=True)
    (folder / f"{_layer(pushed, proxy).removeprefix('sha256:')}.part").write_bytes(b"x" * 1000)
    pulled = pull(pushed, tmp_path / "pulled")
    pulled.verify("it")
    assert not folder.exists()


def test_two_that_pull_the_same_at_once_are_in_nobodys_way(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    inner: list[OciLayout] = []

    def meanwhile() -> None:
        inner.append(pull(pushed, tmp_path / "pulled"))

    proxy.add(method="GET", path=f"/blobs/{_layer(pushed, proxy)}", before=meanwhile)
    assert pull(pushed, tmp_path / "pulled").names() == inner[0].names() == ("it",)
    assert not (tmp_path / "pulled" / ".partial").exists()


def test_a_pull_is_cancelled_and_names_nothing(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    stop = threading.Event()
    proxy.add(method="GET", path="/blobs/", change=lambda body: stop.set() or body)
    with pytest.raises(InterruptedError):
        pull(pushed, tmp_path / "pulled", cancelled=stop.is_set)
    assert OciLayout.open(tmp_path / "pulled").names() == ()


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        ("/blobs/", lambda body: bytes([body[0] ^ 1]) + body[1:], "digest-mismatch"),
        ("/blobs/", lambda body: body + b"more", "size-mismatch"),
        ("/blobs/", lambda body: body[:-1], "size-mismatch"),
        ("/manifests/", lambda body: b"x" * (9 << 20), "manifest-too-large"),
        ("/manifests/", lambda body: b"x" * (17 << 20), "not-a-registry"),
        ("/manifests/", lambda body: b"[" * 100_000, "manifest-invalid"),
        ("/manifests/", lambda body: body.replace(b'"config"', b'"confix"'), "manifest-invalid"),
        ("/manifests/", lambda body: body.replace(b'"size":', b'"size":-'), "manifest-invalid"),
        ("/manifests/", lambda body: body.replace(b'"config"', b'"manifests":[],"config"'), "manifest-invalid"),
        ("/manifests/", lambda body: body.replace(b"sha256:", b"sha256:../"), "manifest-invalid"),
    ],
)
def test_lies_are_refused_and_nothing_is_named(
    pushed: ImageRef, proxy: Proxy, tmp_path: Path, path: str, change: Callable[[bytes], bytes], code: str
) -> None:
    proxy.add(method="GET", path=path, times=99, change=change)
    with pytest.raises(RegistryError) as caught:
        pull(pushed, tmp_path / "pulled")
    assert caught.value.code == code
    if (tmp_path / "pulled").exists():
        assert OciLayout.open(tmp_path / "pulled").names() == ()


def test_a_digest_is_held_against_what_comes(pushed: ImageRef, proxy: Proxy, tmp_path: Path) -> None:
    with RegistryClient(proxy.address) as client:
        digest = client.get_manifest(pushed.repository, pushed.tag or "").digest
    proxy.add(method="GET", path="/manifests/", times=9, change=lambda body: body + b" ")
    with pytest.raises(TransportError) as caught:
        pull(pushed.with_tag(None).with_digest(digest), tmp_path / "pulled")
    assert caught.value.code == "digest-mismatch"


@pytest.mark.parametrize(
    ("reference", "code"),
    [("pull:nothing", "registry-manifest-unknown"), ("never/was:v1", "registry-manifest-unknown")],
)
def test_what_is_not_there(proxy: Proxy, tmp_path: Path, reference: str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        pull(ImageRef.parse(f"{proxy.address}/{reference}"), tmp_path / "pulled")
    assert caught.value.code == code
    assert not (tmp_path / "pulled").exists()


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


@pytest.mark.parametrize(
    ("media_type", "code"),
    [(FOREIGN, "foreign-layer"), (NONDISTRIBUTABLE, "foreign-layer"), ("application/x-floppy", "unknown-media-type")],
)
def test_layers_that_are_not_carried(make: Maker, proxy: Proxy, tmp_path: Path, media_type: str, code: str) -> None:
    good = make.image(b"x")
    layer = Descriptor(media_type=media_type, digest="sha256:" + "1" * 64, size=5)
    make.layout.put_manifest(ImageManifest.create(config=good.config, layers=[*good.layers, layer]))
    with RegistryClient(proxy.address) as client:
        there = RegistrySink(client=client, reference=ImageRef.parse(f"{proxy.address}/foreign:v1"))
        for sink in (LayoutSink(path=tmp_path / "sink"), there):
            with pytest.raises(LayoutError) as caught:
                copy(LayoutSource(layout=make.layout), sink)
            assert caught.value.code == code
            assert layer.digest == caught.value.subject
    assert not (tmp_path / "sink").exists()
    assert proxy.count("PUT") == 0


def test_manifests_of_other_kinds_are_refused(make: Maker, tmp_path: Path) -> None:
    old = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    make.layout.put(canonical_json({"schemaVersion": 1, "mediaType": old, "fsLayers": []}), old)
    with pytest.raises(LayoutError) as caught:
        copy(LayoutSource(layout=make.layout), LayoutSink(path=tmp_path / "sink"))
    assert caught.value.code == "unknown-media-type"


def test_an_artifact_is_carried_as_it_is(make: Maker, proxy: Proxy, tmp_path: Path) -> None:
    empty = make.blob(b"{}", MediaType.OCI_EMPTY)
    chart = ImageManifest.create(
        config=empty, layers=[make.blob(b"anything", "application/x-chart")], artifact_type="application/x-chart"
    )
    make.layout.put_manifest(chart)
    reference = ImageRef.parse(f"{proxy.address}/chart:v1")
    push(make.layout, reference)
    assert pull(reference, tmp_path / "pulled").manifest("it").raw == chart.raw


def test_indexes_within_indexes_end(make: Maker, tmp_path: Path) -> None:
    index = make.index()
    for _ in range(6):
        make.layout.add_blob(index.raw)
        inner = Descriptor(media_type=MediaType.OCI_INDEX, digest=make.layout.add_blob(index.raw), size=len(index.raw))
        index = ImageIndex.create([inner])
    make.layout.put(index.raw, index.media_type)
    with pytest.raises(LayoutError) as caught:
        copy(LayoutSource(layout=make.layout), LayoutSink(path=tmp_path / "sink"))
    assert caught.value.code == "manifest-invalid"


def test_an_index_that_lies_about_a_size_is_refused(make: Maker, tmp_path: Path) -> None:
    image = make.image(b"x")
    entry = make.descriptor(image)
    index = ImageIndex.create([Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size + 1)])
    make.layout.put(index.raw, index.media_type)
    with pytest.raises(LayoutError) as caught:
        copy(LayoutSource(layout=make.layout), LayoutSink(path=tmp_path / "sink"))
    assert caught.value.code == "size-mismatch"


def test_a_damaged_blob_gets_into_no_layout(make: Maker, tmp_path: Path) -> None:
    image = make.image(os.urandom(1000))
    make.layout.put_manifest(image)
    path = make.layout.blob_path(image.layers[0].digest)
    path.write_bytes(bytes(1000))
    with pytest.raises(LayoutError) as caught:
        copy(LayoutSource(layout=make.layout), LayoutSink(path=tmp_path / "sink", ref_name="it"))
    assert caught.value.code == "blob-damaged"
    assert OciLayout.open(tmp_path / "sink").names() == ()


def test_from_registry_to_registry_what_is_there_is_not_fetched(
    make: Maker, proxy: Proxy, tmp_path: Path, noise: Callable[[int], bytes]
) -> None:
    base, top = noise(200_000), noise(100_000)[::-1]
    make.layout.put_manifest(make.image(base))
    push(make.layout, ImageRef.parse(f"{proxy.address}/across:base"))
    make.layout.put_manifest(make.image(base, top))
    source = ImageRef.parse(f"{proxy.address}/across-source:v1")
    push(make.layout, source)
    proxy.log.clear()
    # Another name of the same registry: no mount, as between two registries.
    target = ImageRef.parse(f"localhost:{proxy.address.rpartition(':')[2]}/across:v1")
    with RegistryClient(source.registry) as one, RegistryClient(target.registry) as two:
        result = copy(RegistrySource(client=one, reference=source), RegistrySink(client=two, reference=target))
    assert (result.sent_blobs, result.there_blobs) == (1, 2)
    assert fetched(proxy) == 1
    with RegistryClient(source.registry) as one:
        same = copy(
            RegistrySource(client=one, reference=source),
            RegistrySink(client=one, reference=ImageRef.parse(f"{proxy.address}/across-third:v1")),
        )
    assert (same.sent_blobs, same.mounted_blobs) == (0, 3)


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v7", ["linux/arm", "linux/arm/v7"], 1),
        ("linux/arm/v5", ["linux/arm/v6", "linux/arm/v7"], None),
        ("linux/amd64", ["windows/amd64"], None),
        ("linux/x86_64", ["linux/amd64"], 0),
        ("linux/amd64", ["unknown/unknown"], None),
        ("linux/amd64", [], None),
    ],
)
def test_a_platform_is_chosen(wanted: str, there: list[str], chosen: int | None) -> None:
    entries = []
    for number, text in enumerate(there):
        name = dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))
        digest = f"sha256:{number:064}"
        entries.append(Descriptor(media_type=MediaType.OCI_MANIFEST, digest=digest, size=1, platform=name))
    index = ImageIndex.create(entries)
    if chosen is None:
        with pytest.raises(LayoutError) as caught:
            choose(index, Platform.parse(wanted), "it")
        assert caught.value.code == "no-such-platform"
    else:
        assert choose(index, Platform.parse(wanted), "it").digest == f"sha256:{chosen:064}"


def test_a_layout_keeps_what_has_another_name(make: Maker) -> None:
    for name in ("a", "b", None, "a", None):
        make.layout.put_manifest(make.image(os.urandom(10)), name)
    assert make.layout.names() == ("a", "b")
    assert len(json.loads((make.layout.path / "index.json").read_bytes())["manifests"]) == 3
