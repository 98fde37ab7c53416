"""What is attached to an image goes where the image goes: between repositories, and through layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from registry import (
    Descriptor,
    ImageManifest,
    ImageRef,
    LayoutSink,
    LayoutSource,
    MediaType,
    OciLayout,
    RegistryClient,
    RegistrySink,
    RegistrySource,
    attach,
    attached,
    copy,
    fallback_tag,
)
from registry.referrers import name_referrers
from tests.registry.conftest import QUICK, Maker
from tests.registry.faulty import Proxy
from tests.registry.test_referrers import BILL, LINT, document


@pytest.fixture
def client(proxy: Proxy) -> Iterator[RegistryClient]:
    with RegistryClient(proxy.address, patience=QUICK) as opened:
        yield opened


@pytest.fixture
def subject(make: Maker, client: RegistryClient, request: pytest.FixtureRequest) -> Descriptor:
    """An image in the repository `from` with two documents."""
    image = make.image(request.node.name.encode())
    make.layout.put_manifest(image)
    copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference(client, "from")))
    described = make.descriptor(image)
    attach(client, "from", described, [document(LINT, {"of": request.node.name}), document(BILL, 2)])
    return described


def reference(client: RegistryClient, repository: str) -> ImageRef:
    return ImageRef.parse(f"{client.registry}/{repository}:v1")


def documents(client: RegistryClient, repository: str, digest: str) -> dict[str, bytes]:
    return {one.digest: one.data for one in attached(client, repository, digest)}


def test_they_go_to_another_repository_and_stay_there_beside_what_is(
    subject: Descriptor, client: RegistryClient
) -> None:
    source = RegistrySource(client=client, reference=reference(client, "from"))
    sink = RegistrySink(client=client, reference=reference(client, "to"))
    first = copy(source, sink)
    assert (first.attached, first.note) == (2, "")
    there = documents(client, "to", subject.digest)
    assert there == documents(client, "from", subject.digest)
    assert client.tags("to") == ("v1",)
    attach(client, "to", subject, [document("application/vnd.other", "theirs")])
    assert copy(source, sink).attached == 2
    again = documents(client, "to", subject.digest)
    assert len(again) == 3
    assert there.items() <= again.items()


def test_they_go_into_a_named_image_of_a_layout_and_back_and_with_its_last_name(
    subject: Descriptor, client: RegistryClient, tmp_path: Path
) -> None:
    source = RegistrySource(client=client, reference=reference(client, "from"))
    place = tmp_path / "kept"
    for name in ("a", "b"):
        assert copy(source, LayoutSink(path=place, ref_name=name)).attached == 2
    layout = OciLayout.open(place)
    assert layout.names() == ("a", "b")
    assert len(layout.referrers(subject.digest)) == 2
    back = RegistrySink(client=client, reference=reference(client, "back"))
    assert copy(LayoutSource(layout=layout, ref_name="a"), back).attached == 2
    assert documents(client, "back", subject.digest) == documents(client, "from", subject.digest)
    layout.remove("a")
    assert len(layout.referrers(subject.digest)) == 2
    layout.remove("b")
    assert layout.referrers(subject.digest) == ()
    assert list((place / "blobs" / "sha256").iterdir()) == []


def test_a_layout_of_one_nameless_image_stays_one_that_every_tool_reads(
    subject: Descriptor, client: RegistryClient, tmp_path: Path
) -> None:
    source = RegistrySource(client=client, reference=reference(client, "from"))
    assert copy(source, LayoutSink(path=tmp_path / "one")).attached == 0
    (entry,) = json.loads((tmp_path / "one" / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == subject.digest


def test_those_of_each_platform_go_with_an_index(make: Maker, client: RegistryClient, tmp_path: Path) -> None:
    index = make.index()
    make.layout.put(index.raw, index.media_type)
    copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference(client, "index")))
    for entry in index.manifests[:2]:
        attach(client, "index", entry, [document(LINT, entry.digest)])
    source = RegistrySource(client=client, reference=reference(client, "index"))
    assert copy(source, LayoutSink(path=tmp_path / "all", ref_name="v1")).attached == 2
    layout = OciLayout.open(tmp_path / "all")
    assert [len(layout.referrers(entry.digest)) for entry in index.manifests] == [1, 1, 0]


def test_where_they_are_refused_the_image_is_copied_and_it_is_told(
    subject: Descriptor, client: RegistryClient, proxy: Proxy
) -> None:
    refusal = json.dumps({"errors": [{"code": "MANIFEST_INVALID", "message": "unknown type"}]}).encode()
    proxy.add(method="PUT", path="/refused/manifests/sha256:", times=2, status=400, body=refusal)
    source = RegistrySource(client=client, reference=reference(client, "from"))
    result = copy(source, RegistrySink(client=client, reference=reference(client, "refused")))
    assert result.attached == 0
    assert "unknown type" in result.note
    assert client.manifest_digest("refused", "v1") == subject.digest
    assert documents(client, "refused", subject.digest) == {}


def test_one_that_is_gone_keeps_no_other_from_going(subject: Descriptor, client: RegistryClient, proxy: Proxy) -> None:
    gone, _ = client.get_manifest("from", fallback_tag(subject.digest)), proxy
    first = json.loads(gone.raw)["manifests"][0]["digest"]
    client.delete_manifest("from", first)
    source = RegistrySource(client=client, reference=reference(client, "from"))
    result = copy(source, RegistrySink(client=client, reference=reference(client, "one-gone")))
    assert result.attached == 1
    assert first in result.note


def test_a_list_that_names_what_is_another_s_carries_nothing(
    subject: Descriptor, client: RegistryClient, make: Maker
) -> None:
    other = make.image(b"another")
    make.layout.put_manifest(other, "other")
    copy(
        LayoutSource(layout=make.layout, ref_name="other"),
        RegistrySink(client=client, reference=reference(client, "from").with_tag("other")),
    )
    index = client.get_manifest("from", fallback_tag(subject.digest))
    client.put_manifest("from", fallback_tag(other.digest), index.raw, index.media_type)
    source = RegistrySource(client=client, reference=reference(client, "from").with_tag("other"))
    result = copy(source, RegistrySink(client=client, reference=reference(client, "others")))
    assert (result.attached, result.note) == (0, "")


def test_a_document_of_an_unknown_kind_goes_as_it_is(
    subject: Descriptor, client: RegistryClient, make: Maker, tmp_path: Path
) -> None:
    """A signature, say: its layers are of types that no image has."""
    signature = ImageManifest.create(
        artifact_type="application/vnd.example.signature",
        config=make.blob(b"{}", MediaType.OCI_EMPTY),
        layers=[make.blob(b"signed", "application/vnd.example.signature+octets")],
        subject=subject,
    )
    make.layout.put_manifest(signature, "signature")
    copy(
        LayoutSource(layout=make.layout, ref_name="signature"),
        RegistrySink(client=client, reference=reference(client, "from").with_tag("signature")),
    )
    described = make.descriptor(signature, artifact_type="application/vnd.example.signature")
    name_referrers(client, "from", subject.digest, [described])
    source = RegistrySource(client=client, reference=reference(client, "from"))
    assert copy(source, LayoutSink(path=tmp_path / "kept", ref_name="v1")).attached == 3
    kept = OciLayout.open(tmp_path / "kept")
    assert kept.blob_path(signature.layers[0].digest).read_bytes() == b"signed"


def test_one_that_is_too_large_to_be_a_document_stays_behind(
    subject: Descriptor, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("registry.copy"), "LARGEST_DOCUMENT", 1000)
    attach(client, "from", subject, [document("application/vnd.large", "x" * 2000)])
    source = RegistrySource(client=client, reference=reference(client, "from"))
    result = copy(source, RegistrySink(client=client, reference=reference(client, "large")))
    assert result.attached == 2
    assert "expected at most 1,000" in result.note
