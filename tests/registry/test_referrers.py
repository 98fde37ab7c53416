"""Documents that are attached to images: by a tag where a registry has no API for them, as this one, and by the API."""

from __future__ import annotations

import json

import pytest

from registry import (
    Artifact,
    Descriptor,
    ImageIndex,
    ImageRef,
    LayoutSource,
    MediaType,
    RegistryClient,
    RegistrySink,
    as_document,
    attach,
    attached,
    copy,
    subject_of_tag,
)
from registry.referrers import fallback_tag
from tests.registry.conftest import Maker
from tests.registry.faulty import Proxy

LINT, BILL = "application/vnd.example.lint.v1+json", "application/vnd.example.bill.v1+json"


def document(kind: str, value: object) -> Artifact:
    return Artifact(kind=kind, media_type="application/json", data=json.dumps(value).encode())


@pytest.fixture
def subject(make: Maker, proxy: Proxy, request: pytest.FixtureRequest) -> Descriptor:
    image = make.image(request.node.name.encode())
    make.layout.put_manifest(image)
    with RegistryClient(proxy.address) as client:
        reference = ImageRef.parse(f"{proxy.address}/referred:v1")
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
    return make.descriptor(image)


def test_documents_are_attached_read_and_replaced(subject: Descriptor, proxy: Proxy) -> None:
    with RegistryClient(proxy.address) as client:
        before = client.get_manifest("referred", "v1").digest
        attach(client, "referred", subject, [document(LINT, 1), document(BILL, {"a": 2})])
        found = {one.kind: as_document(one) for one in attached(client, "referred", subject.digest)}
        assert found == {LINT: 1, BILL: {"a": 2}}
        (first,) = attached(client, "referred", subject.digest, [LINT])
        attach(client, "referred", subject, [document(LINT, 3)])
        found = {one.kind: as_document(one) for one in attached(client, "referred", subject.digest)}
        assert found == {LINT: 3, BILL: {"a": 2}}
        assert not client.has_manifest("referred", first.digest)
        # The image is what it was, and its tag; the tag for these is no name of an image.
        assert client.get_manifest("referred", "v1").digest == before
        assert client.tags("referred") == ("v1",)
        assert client.tags("referred", referrers=True) == (fallback_tag(subject.digest), "v1")
        assert attached(client, "referred", "sha256:" + "0" * 64) == ()


def test_others_documents_stay(subject: Descriptor, proxy: Proxy) -> None:
    with RegistryClient(proxy.address) as client:
        attach(client, "referred", subject, [document("application/vnd.other", "theirs")])
        attach(client, "referred", subject, [document(LINT, "ours")])
        assert len(attached(client, "referred", subject.digest)) == 2


def test_two_that_write_at_once_are_both_there(subject: Descriptor, proxy: Proxy) -> None:
    def meanwhile(body: bytes) -> bytes:
        with RegistryClient(proxy.address) as other:
            attach(other, "referred", subject, [document(BILL, "theirs")])
        return body

    with RegistryClient(proxy.address) as client:
        attach(client, "referred", subject, [document("application/vnd.first", "")])
        # Behind our look at the index, and before we write it.
        tag = fallback_tag(subject.digest)
        proxy.add(method="GET", path=f"/manifests/{tag}", after=1, change=meanwhile)
        attach(client, "referred", subject, [document(LINT, "ours")])
        kinds = {one.kind for one in attached(client, "referred", subject.digest)}
    assert kinds == {LINT, BILL, "application/vnd.first"}


def test_the_api_is_used_where_there_is_one(subject: Descriptor, proxy: Proxy) -> None:
    with RegistryClient(proxy.address) as client:
        proxy.add(
            method="GET",
            path="/referrers/",
            times=9,
            status=200,
            headers={"Content-Type": MediaType.OCI_INDEX},
            body=ImageIndex.create([]).raw,
        )
        (made,) = attach(client, "referred", subject, [document(LINT, 5)])
        assert fallback_tag(subject.digest) not in client.tags("referred", referrers=True)
        proxy.faults.clear()
        proxy.add(
            method="GET",
            path="/referrers/",
            status=200,
            headers={"Content-Type": MediaType.OCI_INDEX},
            body=ImageIndex.create([made]).raw,
        )
        (found,) = attached(client, "referred", subject.digest, [LINT])
        assert as_document(found) == 5


def test_what_cannot_be_read_is_left_out(subject: Descriptor, proxy: Proxy) -> None:
    with RegistryClient(proxy.address) as client:
        attach(client, "referred", subject, [document(LINT, "x" * 1000)])
        proxy.add(method="GET", path="/manifests/sha256:", status=404)
        assert attached(client, "referred", subject.digest) == ()
        index = client.get_manifest("referred", fallback_tag(subject.digest))
        other = "sha256:" + "2" * 64
        client.put_manifest("referred", fallback_tag(other), index.raw, index.media_type)
        assert attached(client, "referred", other) == (), "they are another image's"


def test_tags_that_stand_for_referrers() -> None:
    digest = "sha256:" + "a" * 64
    assert subject_of_tag(fallback_tag(digest)) == digest
    assert subject_of_tag("v1") is None
    assert subject_of_tag("sha256-" + "a" * 63) is None
