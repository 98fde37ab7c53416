"""Squashing from the engine: what stops it, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders import BuiltImage, Cancelled, DiskFull, Endpoint, EngineError, SquashedImage, SquashError, SquashMode
from builders.squash import run, squash
from builders.squash.contents import Contents

from ..conftest import BASE, Builder
from ..proxy import engine_proxy

pytestmark = pytest.mark.engine
DOCKERFILE = f"FROM {BASE}\nRUN echo a > /a\nRUN echo b > /b\n"


@pytest.fixture
def image(build_image: Builder) -> BuiltImage:
    return build_image(DOCKERFILE)


def squashed(
    image: BuiltImage,
    endpoint: Endpoint,
    folder: Path,
    mode: SquashMode = SquashMode.AUTO,
    base: str | None = BASE,
    cancelled: threading.Event | None = None,
) -> SquashedImage:
    return squash(
        image,
        endpoint=endpoint,
        base_image=base,
        mode=mode,
        layout=folder / "layout",
        blobs=folder / "blobs",
        scratch=folder / "scratch",
        cancelled=cancelled,
    )


def leftovers(folder: Path) -> list[Path]:
    return [path for path in (folder / "scratch").rglob("*")]


def test_a_base_that_is_not_in_the_engine(image: BuiltImage, endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        squashed(image, endpoint, tmp_path, base="imageforge-test/none:1")
    assert caught.value.code == "image-missing"


def test_a_base_that_it_is_not_built_on(image: BuiltImage, endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(SquashError) as caught:
        squashed(image, endpoint, tmp_path, SquashMode.FROM_BASE, "imageforge/python:3.11")
    assert caught.value.code == "base-mismatch"
    result = squashed(image, endpoint, tmp_path, SquashMode.AUTO, "imageforge/python:3.11")
    assert (result.mode, result.layers_after, result.proved) == (SquashMode.NONE, 3, False)
    assert "does not begin" in result.note


def test_an_image_that_is_gone(image: BuiltImage, endpoint: Endpoint, tmp_path: Path) -> None:
    gone = BuiltImage(image_id="sha256:" + "0" * 64, size=1, diff_ids=image.diff_ids, config={})
    with pytest.raises(EngineError) as caught:
        squashed(gone, endpoint, tmp_path)
    assert caught.value.code == "image-missing"
    assert leftovers(tmp_path) == []


def test_an_engine_that_dies_while_it_saves(
    image: BuiltImage, engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_proxy(tmp_path, engine_host) as proxy:
        real = run.spool

        def cut_early(archive: Iterator[bytes], *args: object, **more: object) -> object:
            def cutting() -> Iterator[bytes]:
                yield next(archive)
                proxy.cut()
                yield from archive

            return real(cutting(), *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(run, "read_store", lambda *_, **__: None)
        monkeypatch.setattr(run, "spool", cut_early)
        with pytest.raises((EngineError, SquashError)) as caught:
            squashed(image, proxy.endpoint, tmp_path)
    assert caught.value.code == "engine-lost"
    assert leftovers(tmp_path) == []


def test_from_scratch_becomes_one_layer(build_image: Builder, endpoint: Endpoint, tmp_path: Path) -> None:
    image = build_image(f"FROM {BASE} AS a\nFROM scratch\nCOPY --from=a /etc/hostname* /a/\nCOPY --from=a /bin/sh /b\n")
    result = squashed(image, endpoint, tmp_path, base="scratch")
    assert (result.mode, result.layers_before, result.layers_after) == (SquashMode.ALL, len(image.diff_ids), 1)
    assert result.proved


def test_where_nothing_is_merged_no_layer_is_read_twice(
    build_image: Builder, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build_image(f"FROM {BASE}\nRUN echo a > /a\n")
    first = squashed(image, endpoint, tmp_path)
    assert first.mode is SquashMode.NONE
    shutil.rmtree(first.layout)
    read = []
    real = Contents.span

    def reading(self: Contents, path: Path | bytes, *args: int) -> bytes:
        read.append(os.fsdecode(path))
        return real(self, path, *args)

    monkeypatch.setattr(Contents, "span", reading)
    again = squashed(image, endpoint, tmp_path)
    assert (again.digest, again.bytes_before, read) == (first.digest, first.bytes_before, [])
    other = build_image(f"FROM {BASE}\nRUN echo b > /a\n")
    shutil.rmtree(again.layout)
    squashed(other, endpoint, tmp_path)
    assert [Path(path).name for path in read] == ["a"], "the base's layers are there"


def test_where_the_layers_are_read_makes_no_difference(
    image: BuiltImage, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own folders, where they can be read, hold the very bytes that it saves."""
    here = squashed(image, endpoint, tmp_path / "here")
    monkeypatch.setattr(run, "read_store", lambda *_, **__: None)
    saved = squashed(image, endpoint, tmp_path / "saved")
    assert (here.digest, here.image_id) == (saved.digest, saved.image_id)


def test_a_layer_that_is_not_what_it_was_is_had_from_the_engine(
    build_image: Builder, endpoint: Endpoint, instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the engine's own that vanish, are shorter, or have other bytes, before the squash or in the middle."""
    base = f"imageforge-test/{instance}:base"
    build_image("FROM scratch\nCOPY Dockerfile /low\n", tag="base")
    image = build_image(f"FROM {base}\nCOPY Dockerfile /a\nCOPY Dockerfile /b\n")
    right = squashed(image, endpoint, tmp_path / "right", SquashMode.FROM_BASE, base)
    real = Contents.span
    count = 0  # of contents read in the engine's folders, whose names are bytes

    def watch(wrong: Callable[[int, bytes], bool], change: Callable[[bytes], bytes]) -> None:
        nonlocal count
        count = 0

        def reading(self: Contents, path: Path | bytes, *args: int) -> bytes:
            nonlocal count
            data = real(self, path, *args)
            count += isinstance(path, bytes)
            return change(data) if isinstance(path, bytes) and wrong(count, path) else data

        monkeypatch.setattr(Contents, "span", reading)

    def gone(_: bytes) -> bytes:
        raise FileNotFoundError(errno.ENOENT, "gone", "there")

    def zeros(data: bytes) -> bytes:
        return bytes(len(data))

    watch(lambda *_: False, zeros)
    squashed(image, endpoint, tmp_path / "counted", SquashMode.FROM_BASE, base)
    last, saved = count, list[int]()
    assert last > 4
    real_spool = run.spool
    monkeypatch.setattr(run, "spool", lambda *a, **k: (saved.append(1), real_spool(*a, **k))[1])
    surprises: list[tuple[Callable[[int, bytes], bool], Callable[[bytes], bytes]]] = [
        (lambda number, _: number == 1, gone),
        (lambda number, _: number == last, gone),
        (lambda number, _: number == last, zeros),
        (lambda _, path: path.endswith(b"/diff/b"), zeros),  # a merged one, the same whoever reads it
        (lambda _, path: path.endswith(b"/diff/low"), zeros),  # one of the base
    ]
    for number, (wrong, change) in enumerate(surprises):
        watch(wrong, change)
        again = squashed(image, endpoint, tmp_path / str(number), SquashMode.FROM_BASE, base)
        assert (number, again.digest, len(saved)) == (number, right.digest, number + 1)
        assert leftovers(tmp_path / str(number)) == []


@pytest.mark.parametrize("when", ["before", "while it is saved", "while it is written"])
def test_cancelled(
    image: BuiltImage, endpoint: Endpoint, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()
    if when == "before":
        cancelled.set()
    elif when == "while it is saved":
        real_spool = run.spool
        monkeypatch.setattr(run, "read_store", lambda *_, **__: None)
        monkeypatch.setattr(run, "spool", lambda *a, **k: (cancelled.set(), real_spool(*a, **k))[1])
    else:
        real_proof = run.Proof
        monkeypatch.setattr(run, "Proof", lambda **k: (cancelled.set(), real_proof(**k))[1])
    with pytest.raises(Cancelled) as caught:
        squashed(image, endpoint, tmp_path, cancelled=cancelled)
    assert caught.value.code == "build-cancelled"
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "layout").exists()


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    image: BuiltImage, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    with pytest.raises(DiskFull) as caught:
        squashed(image, endpoint, tmp_path)
    assert caught.value.code == "disk-full"
    assert "50.0 MB are free" in caught.value.message
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("where", "size"), [("scratch", "100m"), ("blobs", "20m")])
def test_a_disk_that_becomes_full(image: BuiltImage, endpoint: Endpoint, tmp_path: Path, where: str, size: str) -> None:
    """A small file system, behind a check that believes it has more."""
    import subprocess

    small = tmp_path / where
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], check=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "ensure_room", lambda *_: None)
            if where == "scratch":
                patch.setattr(run, "read_store", lambda *_, **__: None)
            with pytest.raises(DiskFull) as caught:
                squashed(image, endpoint, tmp_path)
        assert caught.value.kept
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "layout").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)
