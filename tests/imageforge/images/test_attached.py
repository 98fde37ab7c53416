"""What a build says of its image: the statement, and what it leaves out."""

from __future__ import annotations

import json

import pytest

from imageforge.images.attached import Kind, Origin, attach_documents, attached_documents, provenance
from imageforge.pipeline.attachments import without_login
from imageforge.vault import Mask
from registry import ImageRef, LayoutSource, RegistryClient, RegistrySink, copy
from tests.registry.conftest import Maker, make, proxy, registry_address
from tests.registry.faulty import Proxy

__all__ = ["make", "proxy", "registry_address"]

ORIGIN = Origin(
    repository="https://git.example/shop",
    revision="c0ffee" * 6 + "abcd",
    dockerfile="Dockerfile",
    dockerfile_digest="sha256:" + "d" * 64,
    target=None,
    arguments=("TOKEN",),
    squash="auto",
    tree="sha256:" + "7" * 64,
    bases={"debian:12": "sha256:" + "b" * 64, "alpine": None},
    tools={"engine": "20.10.24"},
)


def test_the_statement_names_the_image_its_source_and_its_base() -> None:
    said = provenance(ORIGIN, name="r.example/shop", digest="sha256:" + "a" * 64)
    assert said["subject"] == [{"name": "r.example/shop", "digest": {"sha256": "a" * 64}}]
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "repository": "https://git.example/shop",
        "revision": ORIGIN.revision,
        "dockerfile": "Dockerfile",
        "arguments": ["TOKEN"],
        "squash": "auto",
    }
    assert [entry.get("digest") for entry in definition["resolvedDependencies"]] == [
        {"sha256": "d" * 64},
        {"gitCommit": ORIGIN.revision},
        {"sha256": "b" * 64},
        None,
    ]
    assert said["predicate"]["runDetails"]["builder"]["version"]["engine"] == "20.10.24"


def test_documents_come_back(make: Maker, proxy: Proxy) -> None:
    image = make.image(b"x")
    make.layout.put_manifest(image)
    subject = make.descriptor(image)
    documents = {Kind.LINT: {"findings": []}, Kind.PROVENANCE: provenance(ORIGIN, name="n", digest=image.digest)}
    with RegistryClient(proxy.address) as client:
        reference = ImageRef.parse(f"{proxy.address}/attached:v1")
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
        assert attached_documents(client, "attached", image.digest) == {}
        attach_documents(client, "attached", subject, documents)
        assert attached_documents(client, "attached", image.digest) == json.loads(json.dumps(documents))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@git.example/shop", "https://git.example/shop"),
        ("https://git.example/shop@2", "https://git.example/shop@2"),
        ("git@git.example:shop", "git@git.example:shop"),
        ("ssh://git@git.example/shop", "ssh://git@git.example/shop"),
    ],
)
def test_no_login_is_told(url: str, shown: str) -> None:
    assert without_login(url) == shown


def test_secrets_are_masked_in_what_is_attached(make: Maker, proxy: Proxy) -> None:
    image = make.image(b"masked")
    make.layout.put_manifest(image)
    reference = ImageRef.parse(f"{proxy.address}/masked:v1")
    with RegistryClient(proxy.address) as client:
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
        subject = make.descriptor(image)
        documents = Mask(["hunter2hunter2"]).data({Kind.LINT: {"excerpt": "ENV KEY=hunter2hunter2"}})
        attach_documents(client, "masked", subject, documents)
        assert attached_documents(client, "masked", image.digest) == {Kind.LINT: {"excerpt": "ENV KEY=***"}}
