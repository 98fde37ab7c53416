"""Saved images, in both forms that engines write, and the ways in which one can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import zstd
from builders.errors import SquashError
from builders.squash.source import Layer, SourceImage, read_archive, spool
from builders.squash.stream import stream

from .layers import file, tar_of

ONE, TWO = tar_of([file("a", b"1")]), tar_of([file("b", b"2")])


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def config_of(*layers: bytes) -> bytes:
    return json.dumps(
        {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(raw) for raw in layers]}}
    ).encode()


def archive(entries: list[tuple[str, bytes | str]]) -> bytes:
    """A tar of files, and of symlinks where the content is text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def manifest(config: str, *layers: str) -> bytes:
    return json.dumps([{"Config": config, "RepoTags": None, "Layers": list(layers)}]).encode()


def read(folder: Path, raw: bytes, step: int = 1000) -> SourceImage:
    pieces: Iterator[bytes] = (raw[at : at + step] for at in range(0, len(raw), step))
    return spool(pieces, folder, subject="image", check=lambda: None)


def read_file(folder: Path, raw: bytes) -> SourceImage:
    (folder / "archive.tar").write_bytes(raw)
    (folder / "parts").mkdir()
    return read_archive(folder / "archive.tar", folder / "parts", subject="image", check=lambda: None)


def contents(image: SourceImage) -> list[bytes]:
    return [b"".join(stream(layer.pieces())) for layer in image.layers]


def old_form(*entries: tuple[str, bytes | str]) -> bytes:
    parts: list[tuple[str, bytes | str]] = [("1/layer.tar", ONE), ("2/layer.tar", TWO), ("c.json", config_of(ONE, TWO))]
    return archive([*parts, *entries, ("manifest.json", manifest("c.json", "1/layer.tar", "2/layer.tar"))])


@pytest.mark.parametrize("step", [1, 511, 10_000_000])
def test_the_form_of_engines_up_to_24(tmp_path: Path, step: int) -> None:
    image = read(tmp_path, old_form(), step)
    assert image.config_bytes == config_of(ONE, TWO)
    assert [layer.path.read_bytes() for layer in image.layers] == [ONE, TWO]
    assert [layer.diff_id for layer in image.layers] == [digest(ONE), digest(TWO)]


def test_the_form_of_engines_from_25_on(tmp_path: Path) -> None:
    config = config_of(ONE, TWO)
    names = [f"blobs/sha256/{digest(raw).partition(':')[2]}" for raw in (config, ONE, gzip.compress(TWO, mtime=0))]
    parts: list[tuple[str, bytes | str]] = [
        (names[0], config),
        (names[1], ONE),
        (names[2], gzip.compress(TWO, mtime=0)),
        ("index.json", b"{}"),
        ("oci-layout", b"{}"),
        ("manifest.json", manifest(*names)),
    ]
    for image in (read(tmp_path, archive(parts)), read_file(tmp_path, archive(parts))):
        assert contents(image) == [ONE, TWO]
        assert image.layers[1].size == len(TWO)


def test_a_layer_that_an_image_has_twice_is_a_link(tmp_path: Path) -> None:
    parts: list[tuple[str, bytes | str]] = [
        ("1/layer.tar", ONE),
        ("2/layer.tar", "../1/layer.tar"),
        ("c.json", config_of(ONE, ONE)),
        ("manifest.json", manifest("c.json", "1/layer.tar", "2/layer.tar")),
    ]
    image = read(tmp_path, archive(parts))
    assert [layer.diff_id for layer in image.layers] == [digest(ONE)] * 2


def test_an_archive_in_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    image = read_file(tmp_path, old_form())
    assert contents(image) == [ONE, TWO]
    assert {layer.path for layer in image.layers} == {tmp_path / "archive.tar"}
    (tmp_path / "link.tar").symlink_to("archive.tar")
    linked = read_archive(tmp_path / "link.tar", tmp_path / "parts", subject="image", check=lambda: None)
    assert contents(linked) == [ONE, TWO]
    assert list((tmp_path / "parts").iterdir()) == []
    assert [member.path for layer in image.layers for member in layer.members("x")] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("raw", "part_of_message"),
    [
        (b"", "empty file"),
        (b"no tar", "cannot be read"),
        (old_form()[:4000], "cannot be read|lacks"),
        (archive([("manifest.json", b"{")]), "not JSON"),
        (archive([("manifest.json", b"[" * 5000 + b"]" * 5000)]), "not JSON"),
        (archive([("manifest.json", b"[]")]), "does not name one image"),
        (archive([(str(number), b"") for number in range(10_001)]), "more than 10,000 parts"),
        (archive([("manifest.json", manifest("c.json"))]), "lacks c.json"),
        (archive([("c.json", b"[]"), ("manifest.json", manifest("c.json"))]), "not a JSON object"),
        (archive([("c.json", config_of(ONE)), ("manifest.json", manifest("c.json"))]), "0 layers"),
        (archive([("c.json", config_of(ONE)), ("manifest.json", manifest("c.json", "x"))]), "lacks x"),
        (
            archive([("x", "y"), ("y", "x"), ("c.json", config_of(ONE)), ("manifest.json", manifest("c.json", "x"))]),
            "lacks x",
        ),
        (
            archive([("x", TWO), ("c.json", config_of(ONE)), ("manifest.json", manifest("c.json", "x"))]),
            "has the content of",
        ),
        (
            archive(
                [
                    ("x", gzip.compress(ONE)[:-9]),
                    ("c.json", config_of(ONE)),
                    ("manifest.json", manifest("c.json", "x")),
                ]
            ),
            "compressed layer cannot be read",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, raw: bytes, part_of_message: str) -> None:
    for reading in (read, read_file):
        with pytest.raises(SquashError, match=part_of_message) as caught:
            reading(tmp_path, raw)
        assert caught.value.code == "archive-damaged"


def test_a_layer_in_zstd(tmp_path: Path) -> None:
    layer = zstd.pack(ONE, 3)
    raw = archive([("x", layer), ("c.json", config_of(ONE)), ("manifest.json", manifest("c.json", "x"))])
    (found,) = read(tmp_path, raw).layers
    assert b"".join(stream(found.pieces())) == ONE
    for damaged in (layer[:-1], layer[:20], zstd.MAGIC + b" rest"):
        raw = archive([("x", damaged), ("c.json", config_of(ONE)), ("manifest.json", manifest("c.json", "x"))])
        with pytest.raises(SquashError) as caught:
            read(tmp_path, raw)
        assert caught.value.code == "archive-damaged"


def test_names_in_the_archive_are_no_paths(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    read(folder, old_form(("../../escaped", b"x"), ("/absolute", b"x")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside"]


def test_what_may_be_a_layer_is_given_as_soon_as_all_of_it_is_there(tmp_path: Path) -> None:
    large = tar_of([file("a", bytes(3 << 20))])
    parts: list[tuple[str, bytes | str]] = [("1/layer.tar", large), ("2/layer.tar", large + bytes(1024))]
    parts += [("c.json", config_of(large, large + bytes(1024)))]
    raw = archive([*parts, ("manifest.json", manifest("c.json", "1/layer.tar", "2/layer.tar"))])
    seen: list[tuple[int, str, bytes]] = []
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for at in range(0, len(raw), 1 << 20):
            sent = at
            yield raw[at : at + (1 << 20)]

    def take(layer: Layer) -> None:
        seen.append((sent, layer.diff_id, b"".join(stream(layer.pieces()))))

    spool(pieces(), tmp_path, subject="image", check=lambda: None, on_layer=take)
    assert [(diff_id, content) for _, diff_id, content in seen[:2]] == [
        (digest(large), large),
        (digest(large + bytes(1024)), large + bytes(1024)),
    ]
    assert seen[0][0] < seen[1][0]


def test_a_packed_part_is_given_to_nobody(tmp_path: Path) -> None:
    packed = gzip.compress(ONE)
    config = config_of(ONE)
    raw = archive([("1/layer.tar", packed), ("c.json", config), ("manifest.json", manifest("c.json", "1/layer.tar"))])
    seen: list[str] = []
    image = spool(
        iter([raw]), tmp_path, subject="image", check=lambda: None, on_layer=lambda one: seen.append(one.diff_id)
    )
    assert contents(image) == [ONE]
    assert digest(packed) not in seen


def test_two_parts_of_one_name_are_two_files_and_none_takes_the_place_of_another(tmp_path: Path) -> None:
    other = tar_of([file("c", b"3")])
    assert len(other) == len(ONE)
    parts: list[tuple[str, bytes | str]] = [("1/layer.tar", ONE), ("2/layer.tar", TWO), ("c.json", config_of(ONE, TWO))]
    parts += [("manifest.json", manifest("c.json", "1/layer.tar", "2/layer.tar")), ("1/layer.tar", ONE), ("y", other)]
    assert contents(read(tmp_path, archive(parts))) == [ONE, TWO]
