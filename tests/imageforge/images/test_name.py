"""Skopeo's words for where an image is."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageforge.errors import UsageError
from imageforge.images.known import known_repositories
from imageforge.images.name import ImageName, Transport
from registry import InvalidReference


@pytest.mark.parametrize(
    ("text", "transport", "path", "tag", "reference"),
    [
        ("shop", Transport.ENGINE, None, "shop", "docker.io/library/shop:latest"),
        ("docker-daemon:shop:42", Transport.ENGINE, None, "shop:42", "docker.io/library/shop:42"),
        ("127.0.0.1:8705/shop:42", Transport.ENGINE, None, "127.0.0.1:8705/shop:42", "127.0.0.1:8705/shop:42"),
        ("a" * 64, Transport.ENGINE, None, "a" * 64, None),
        ("docker-daemon:sha256:" + "a" * 64, Transport.ENGINE, None, "sha256:" + "a" * 64, None),
        ("docker-archive:/tmp/a.tar", Transport.ARCHIVE, Path("/tmp/a.tar"), None, None),
        ("docker-archive:a.tar:shop:42", Transport.ARCHIVE, Path("a.tar"), None, "docker.io/library/shop:42"),
        ("oci:images", Transport.LAYOUT, Path("images"), None, None),
        ("oci:/srv/images:shop-42", Transport.LAYOUT, Path("/srv/images"), "shop-42", None),
        ("docker://r.example:5000/a/b", Transport.REGISTRY, None, None, "r.example:5000/a/b:latest"),
        ("docker1:5000/shop:42", Transport.ENGINE, None, "docker1:5000/shop:42", "docker1:5000/shop:42"),
        ("docker://debian:12", Transport.REGISTRY, None, None, "docker.io/library/debian:12"),
    ],
)
def test_names(text: str, transport: Transport, path: Path | None, tag: str | None, reference: str | None) -> None:
    found = ImageName.parse(text)
    assert (found.transport, found.path, found.tag) == (transport, path, tag)
    assert (str(found.reference) if found.reference else None) == reference


def test_a_bare_name_may_be_a_registrys() -> None:
    found = ImageName.parse("r.example/shop@sha256:" + "0" * 64, bare=Transport.REGISTRY)
    assert found.transport is Transport.REGISTRY
    assert str(found.named) == "r.example/shop@sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text", ["dir:/tmp/x", "https://r.example/shop", "docker:shop", "oci:", "oci:x:", "docker-daemon:"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ImageName.parse(text)
    assert caught.value.code in ("unknown-transport", "invalid-image-name")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [("ocii:/srv/images:x", "oci:"), ("docker-deamon:team/shop", "docker-daemon:"), ("dokcer://r/shop", "docker://")],
)
def test_a_misspelt_place_is_told(text: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        ImageName.parse(text)
    assert (caught.value.code, str(caught.value.hint).partition(meant)[1]) == ("unknown-transport", meant)


def test_a_bad_reference_is_told_as_one() -> None:
    with pytest.raises(InvalidReference):
        ImageName.parse("docker://r.example/Shop")


def test_the_repositories_that_the_store_knows() -> None:
    references = ("r:1/shop@sha256:00", "r:1/team/web@sha256:00", "other/shop@sha256:00", "r:1/shop@sha256:11")
    assert known_repositories(references, "r:1") == ("shop", "team/web")
