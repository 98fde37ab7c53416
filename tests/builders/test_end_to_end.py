"""Build, squash, load, run: what a container sees is compared with what it saw before."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from builders import BuiltImage, Endpoint, SquashedImage, SquashMode, load, squash
from registry.layout import OciLayout
from tests.builders.ran import printed

from .conftest import BASE, Builder

pytestmark = pytest.mark.engine

TRAPS = f"""\
FROM {BASE}
RUN mkdir /d && echo secret > /d/old && echo one > /h1 && ln /h1 /h2 && ln /h1 /h3 && ln -s /h1 /dangling
RUN rm -rf /d
RUN mkdir /d && echo new > /d/new && chmod 4755 /d/new
RUN rm /h1 && rm -rf /usr/share/perl5 && mkdir -p /usr/share/perl5 && echo x > /usr/share/perl5/only
RUN ln /etc/debian_version /linked && echo changed > /h2 && mkfifo /pipe && mknod /null c 1 3
RUN echo gone > /short-lived
RUN rm /short-lived && rm -rf /var/lib/dpkg/info && touch -d @1000000000 /d/new
USER nobody
ENV A="b c"
LABEL test.label="a \\"quoted\\" value"
HEALTHCHECK --interval=7s CMD true
ENTRYPOINT ["/bin/sh", "-c"]
"""
# -xdev leaves out what the engine mounts. A folder's size is the file system's own affair, a link count includes names
# that an upper layer hides, and layers carry whole seconds.
LOOK = (
    "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -path /etc "
    "! -path /etc/hosts ! -path /etc/mtab ! -path /etc/hostname ! -path /etc/resolv.conf ! -path / "
    r"\( -type d -printf '%p %y %m %U %G %T@\n' -o -printf '%p %y %m %U %G %l %s %T@\n' \) "
    r"| grep -v '^/.dockerenv' | sed 's/\.[0-9]*$//' | sort; "
    "find /d /usr/share/perl5 /h2 /h3 /linked -type f | sort | xargs sha256sum; "
    r"find / -xdev -type f -links +1 -printf 'inode %i %p\n'; echo end"
)


def squashed(image: BuiltImage, endpoint: Endpoint, folder: Path, mode: SquashMode) -> SquashedImage:
    return squash(
        image,
        endpoint=endpoint,
        base_image=BASE,
        mode=mode,
        layout=folder / f"layout-{mode}",
        blobs=folder / "blobs",
        scratch=folder / "scratch",
    )


def look(client: docker.DockerClient, image: str, instance: str) -> set[str]:
    """One text a path, one a content, one a group of hard links."""
    output = printed(client, image, instance, [LOOK], user="root")
    assert output.endswith(b"end\n")
    seen: set[str] = set()
    groups: dict[str, list[str]] = {}
    for line in output.decode(errors="replace").splitlines():
        if line.startswith("inode "):
            _, inode, path = line.split(" ", 2)
            groups.setdefault(inode, []).append(path)
        else:
            seen.add(line)
    return seen | {f"linked: {sorted(names)}" for names in groups.values() if len(names) > 1}


def test_a_container_sees_the_same_after_every_squash(
    tmp_path: Path, build_image: Builder, endpoint: Endpoint, docker_client: docker.DockerClient, instance: str
) -> None:
    image = build_image(TRAPS)
    before = look(docker_client, image.image_id, instance)
    assert any(line.startswith("/d/new f 4755") for line in before)
    assert not any(line.startswith("/d/old") for line in before)
    assert "linked: ['/etc/debian_version', '/linked']" in before
    for mode, layers in ((SquashMode.FROM_BASE, 2), (SquashMode.ALL, 1), (SquashMode.NONE, 8)):
        result = squashed(image, endpoint, tmp_path, mode)
        assert (result.mode, result.layers_after) == (mode, layers)
        assert result.proved is (mode is not SquashMode.NONE)
        OciLayout.open(result.layout).verify()
        tag = f"imageforge-test/{instance}:{mode}"
        assert load(result.layout, endpoint=endpoint, tag=tag) == result.image_id
        assert look(docker_client, tag, instance) ^ before == set()
        after = docker_client.images.get(tag).attrs
        original = docker_client.images.get(image.image_id).attrs
        assert after["Config"] == original["Config"]
        assert after["Created"] == original["Created"]


def test_from_base_keeps_the_base_bit_identical_and_none_keeps_the_image(
    tmp_path: Path, build_image: Builder, endpoint: Endpoint, docker_client: docker.DockerClient
) -> None:
    image = build_image(TRAPS)
    result = squashed(image, endpoint, tmp_path, SquashMode.AUTO)
    assert result.mode is SquashMode.FROM_BASE
    base = docker_client.images.get(BASE).attrs["RootFS"]["Layers"]
    diff_ids = OciLayout.open(result.layout).config()["rootfs"]["diff_ids"]
    assert diff_ids[: len(base)] == base
    assert squashed(image, endpoint, tmp_path, SquashMode.NONE).image_id == image.image_id


def test_the_same_image_gives_the_same_digest(tmp_path: Path, build_image: Builder, endpoint: Endpoint) -> None:
    image = build_image(TRAPS)
    first = squashed(image, endpoint, tmp_path / "one", SquashMode.FROM_BASE)
    second = squashed(image, endpoint, tmp_path / "two", SquashMode.FROM_BASE)
    assert first.digest == second.digest
    assert first.image_id == second.image_id
