"""Disks that are too small for an image, or become so in the middle: told before, and nothing half left."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry import OciLayout
from tests.registry.conftest import Maker, make, noise, proxy, registry_address
from tests.registry.faulty import Proxy

__all__ = ["make", "noise", "proxy", "registry_address"]

SMALL = """
mount -t tmpfs -o size=8m tmpfs "$1" || exit 99
small=$1; shift
"$@"; code=$?
find "$small" -mindepth 1 -printf "%s %p\\n"
exit $code
"""


@dataclass(frozen=True)
class Ended:
    code: int
    left: list[str]
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "home"


@pytest.fixture
def remote(home: Path, make: Maker, proxy: Proxy, noise: Callable[[int], bytes]) -> str:
    """An image of 12 MB in a registry."""
    make.layout.put_manifest(make.image(noise(3_000_000), noise(9_000_000)), "big")
    name = f"docker://{proxy.address}/big:v1"
    imageforge("image", "push", f"oci:{make.layout.path}:big", name)
    return name


def imageforge(*words: str, prefix: tuple[str, ...] = ()) -> Ended:
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "imageforge", *words], capture_output=True, text=True, check=False, timeout=120
    )
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr)


def on_small(folder: Path, *words: str) -> Ended:
    """A command that finds a disk of 8 MB at `folder`, and what it left there."""
    folder.mkdir(exist_ok=True)
    return imageforge(*words, prefix=("unshare", "--map-root-user", "--mount", "sh", "-c", SMALL, "sh", str(folder)))


@pytest.mark.parametrize("place", ["oci:{}/kept:v1", "oci:{}", "docker-archive:{}/kept.tar"])
def test_what_does_not_fit_is_refused_before_it_is_written(remote: str, tmp_path: Path, place: str) -> None:
    small = tmp_path / "small"
    ended = on_small(small, "image", "pull", remote, place.format(small))
    assert (ended.code, ended.left) == (4, [])
    assert "error[disk-full]" in ended.err
    assert "needs 12.0 MB there, and 8.4 MB are free" in ended.err
    assert "nothing was written" in ended.err


def test_what_is_on_its_way_to_another_registry_must_fit_as_well(remote: str, home: Path) -> None:
    """Behind another name the registry is another one, and its blobs come by way of this disk."""
    other = remote.replace("127.0.0.1", "localhost").replace("/big:", "/other:")
    ended = on_small(home, "image", "copy", remote, other)
    assert ended.code == 4
    assert "a blob of 9,000,000 bytes needs 9.0 MB there" in ended.err
    # What fitted may have been on its way, and is gone on with.
    assert all(int(line.split()[0]) <= 3_000_000 for line in ended.left if line.endswith(".part"))


def test_an_archive_that_does_not_fit_unpacked_is_not_begun(
    make: Maker, home: Path, noise: Callable[[int], bytes], tmp_path: Path
) -> None:
    archive = f"docker-archive:{tmp_path / 'big.tar'}"
    make.layout.put_manifest(make.image(gzip.compress(noise(12_000_000), 1)), "packed")
    assert imageforge("image", "copy", f"oci:{make.layout.path}:packed", archive).code == 0
    ended = on_small(home, "image", "copy", archive, f"oci:{tmp_path / 'kept'}")
    assert ended.code == 4
    assert "reading the archive needs" in ended.err
    assert not (tmp_path / "kept").exists()


def test_a_layout_on_the_same_disk_takes_no_room(make: Maker, home: Path, noise: Callable[[int], bytes]) -> None:
    """8 MB hold an image of 5 MB twice where its blobs are linked."""
    small = home.parent / "small"
    make.layout.put_manifest(make.image(noise(5_000_000)), "a")
    ours = f"{sys.executable} -m imageforge --quiet image copy"
    command = f"{ours} oci:{make.layout.path}:a oci:{small}/1:a && {ours} oci:{small}/1:a oci:{small}/2:a"
    small.mkdir()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL, "sh", str(small), "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{small}/2/index.json" in done.stdout


def limited(size: int) -> tuple[str, ...]:
    """No file may become larger: a disk that is full in the middle."""
    return ("prlimit", f"--fsize={size}")


def test_a_layout_whose_disk_becomes_full_names_nothing_and_is_gone_on_with(remote: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    ended = imageforge("image", "pull", remote, f"oci:{kept}:v1", prefix=limited(4_000_000))
    assert ended.code == 4
    assert "error[disk-full]" in ended.err
    assert OciLayout.open(kept).names() == ()
    assert sum(file.stat().st_size for file in (kept / ".partial").iterdir()) > 0
    assert imageforge("image", "pull", remote, f"oci:{kept}:v1").code == 0
    OciLayout.open(kept).verify("v1")
    assert not (kept / ".partial").exists()


def test_an_archive_whose_disk_becomes_full_is_not_there(remote: str, tmp_path: Path) -> None:
    ended = imageforge("image", "pull", remote, f"docker-archive:{tmp_path / 'a.tar'}", prefix=limited(10_000_000))
    assert ended.code == 4
    assert "error[disk-full]" in ended.err
    assert not [file for file in tmp_path.iterdir() if file.name.startswith((".a.tar", "a.tar"))]
