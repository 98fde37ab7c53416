"""What is needed, by the store, the registry and what is applied. A real registry and database; no engine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from imageforge.config import Home
from imageforge.images.retention import surplus
from imageforge.stack.tidy import elsewhere, remove_image_of, stored_images
from imageforge.store import Apps, Builds, BuildStatus, Database, Release, Releases, ReleaseStatus
from imageforge.store.schema import builds
from registry import (
    Artifact,
    Descriptor,
    ImageIndex,
    ImageRef,
    LayoutSource,
    MediaType,
    RegistryClient,
    RegistrySink,
    attach,
    attached,
    copy,
    fallback_tag,
)
from tests.registry.conftest import Maker, make, proxy, registry_address
from tests.registry.faulty import Proxy

__all__ = ["make", "proxy", "registry_address"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.at(tmp_path / "store.sqlite") as opened:
        yield opened


class Builder:
    """Pushes images as builds do, and says so in the store."""

    def __init__(self, database: Database, make: Maker, client: RegistryClient) -> None:
        self.database = database
        self.make = make
        self.client = client

    def build(self, repository: str, *tags: str) -> str:
        """A build of yesterday; ``REPOSITORY@DIGEST``."""
        image = self.make.image(os.urandom(100))
        self.make.layout.put_manifest(image)
        number = Builds(self.database).start(app=repository, source=".")
        for tag in tags or (f"b{number}",):
            reference = ImageRef(registry=self.client.registry, repository=repository, tag=tag)
            copy(LayoutSource(layout=self.make.layout), RegistrySink(client=self.client, reference=reference))
        digest = image.digest
        Builds(self.database).finish(
            number,
            BuildStatus.SUCCEEDED,
            reference=f"{self.client.registry}/{repository}@{digest}",
            image_id=image.config.digest,
        )
        with self.database.writing() as connection:
            connection.execute(sa.update(builds).values(created_at=time.time() - 86400))
        return f"{repository}@{digest}"

    def release(self, image: str, number: int) -> None:
        Apps(self.database).ensure(image.partition("@")[0])
        Releases(self.database).add(
            Release(
                app=image.partition("@")[0],
                number=number,
                build_id=None,
                reference=f"{self.client.registry}/{image}",
                image_id="sha256:0",
                manifests="",
                status=ReleaseStatus.SUPERSEDED,
                created_at=time.time(),
            )
        )


@pytest.fixture
def builder(database: Database, make: Maker, proxy: Proxy) -> Iterator[Builder]:
    with RegistryClient(proxy.address) as client:
        yield Builder(database, make, client)


def test_what_is_released_applied_or_named_stays(builder: Builder, tmp_path: Path) -> None:
    released, applied, by_tag, spare = (builder.build("kept") for _ in range(4))
    named = builder.build("kept", "b900", "mine")
    builder.release(released, 1)
    local = builder.client.registry
    tag = next(
        t for t in builder.client.tags("kept") if by_tag.endswith(str(builder.client.manifest_digest("kept", t)))
    )
    objects = [f"{local}/{applied}", f"{local}/kept:{tag}", "other.example/x", "UPPER CASE", "debian:12"]
    found = stored_images(Home(tmp_path / "home"), builder.database, builder.client, objects)
    mine = [image for image in found if image.name.startswith("kept@")]
    assert {image.name for image in mine} == {released, applied, by_tag, spare, named}
    assert [image.name for image in surplus(mine)] == [spare]
    assert all(len(image.parts) == 2 for image in mine)


def test_an_image_goes_with_what_is_attached_to_it(builder: Builder, tmp_path: Path) -> None:
    first, second = builder.build("went"), builder.build("went")
    for image in (first, second):
        found = builder.client.get_manifest("went", image.partition("@")[2])
        subject = Descriptor(media_type=found.media_type, digest=found.digest, size=len(found.raw))
        attach(builder.client, "went", subject, [Artifact(kind="a/b", media_type="text/plain", data=b"x")])
    images = stored_images(Home(tmp_path / "home"), builder.database, builder.client, [])
    (gone,) = (image for image in images if image.name == first)
    (document,) = attached(builder.client, "went", first.partition("@")[2])
    assert remove_image_of(builder.client, gone)
    assert not builder.client.has_manifest("went", document.digest)
    assert len(builder.client.tags("went", referrers=True)) == 2
    assert len(attached(builder.client, "went", second.partition("@")[2])) == 1


@pytest.mark.parametrize("readable", [True, False])
def test_a_list_that_names_another_image_does_not_take_it_along(
    builder: Builder, tmp_path: Path, *, readable: bool
) -> None:
    """Whoever may push there may have written it."""
    released, spare = builder.build("listed"), builder.build("listed")
    builder.release(released, 1)
    kept = builder.client.get_manifest("listed", released.partition("@")[2])
    entry = Descriptor(media_type=kept.media_type, digest=kept.digest, size=len(kept.raw))
    raw = ImageIndex.create([entry]).raw
    if not readable:
        raw = raw.replace(b'"schemaVersion"', b'"x":' + b"[" * 5000 + b"]" * 5000 + b',"schemaVersion"')
    builder.client.put_manifest("listed", fallback_tag(spare.partition("@")[2]), raw, MediaType.OCI_INDEX)
    images = stored_images(Home(tmp_path / "home"), builder.database, builder.client, [])
    (gone,) = surplus([image for image in images if image.name.startswith("listed@")])
    assert gone.name == spare
    assert remove_image_of(builder.client, gone)
    assert builder.client.has_manifest("listed", kept.digest)
    assert not builder.client.has_manifest("listed", spare.partition("@")[2])
    builder.client.delete_manifest("listed", kept.digest)


def test_at_another_registry_only_what_builds_pushed_and_no_name_leads_to(builder: Builder) -> None:
    moved = builder.build("far", "latest")
    current = builder.build("far", "latest")
    spare = builder.build("far")
    released = builder.build("far", "latest-but-one")
    builder.release(released, 1)
    # Somebody else's is none of ours, whatever its tag.
    theirs = builder.build("far-other")
    with builder.database.writing() as connection:
        connection.execute(sa.delete(builds).where(builds.c.app == "far-other"))
    found = elsewhere(builder.database, builder.client, [])
    assert {image.name for image in found} == {moved, current, spare, released}
    assert theirs not in {image.name for image in found}
    assert {image.name for image in surplus(found)} == {moved, spare}
