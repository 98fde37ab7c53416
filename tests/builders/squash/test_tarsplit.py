"""Layers as an overlay2 engine keeps them: the same bytes, entries and samples as in one file, or an error."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import SquashError
from builders.squash.pieces import Content
from builders.squash.source import Layer, SourceImage, whole
from builders.squash.stream import stream
from builders.squash.tarsplit import Keeper, TarSplit

from .layers import file, folder, hardlink, items_of, symlink, tar_of
from .splits import split_layer

NOT_UTF8 = b"caf\xe9".decode("utf-8", "surrogateescape")
RAW = tar_of(
    [
        folder("d"),
        file("d/small", b"s" * 700),
        file("d/empty"),
        file("d/large", bytes(range(256)) * 9000),
        hardlink("h", "d/small"),
        symlink("s", "d/large"),
        file(NOT_UTF8, b"bytes"),
        file("d/" + "n" * 200, b"long"),
        file('quo"te\\', b"escaped"),
        file("\u00e9<&>", b"more of it"),
        file("d/last", b"x" * 512, pax={"SCHILY.xattr.user.x": "1"}),
    ]
)


def in_file(path: Path, raw: bytes) -> Layer:
    path.write_bytes(raw)
    return Layer(path=path, diff_id=f"sha256:{hashlib.sha256(raw).hexdigest()}", size=len(raw))


@pytest.mark.parametrize("keeper", [None, Keeper(0), Keeper(5000), Keeper(1 << 20)], ids=range(4))
def test_it_is_the_same_layer(tmp_path: Path, keeper: Keeper | None) -> None:
    plain, split = in_file(tmp_path / "layer.tar", RAW), split_layer(tmp_path, RAW, keeper=keeper)
    assert b"".join(stream(split.pieces())) == b"".join(stream(plain.pieces())) == RAW
    assert sum(isinstance(piece, Content) for piece in split.pieces()) == 7
    for one, other in zip(plain.members("x"), split.members("x"), strict=True):
        assert replace(one, source=None, offset=0) == replace(other, source=None, offset=0)
    assert split.split is not None
    assert split.split.size() == len(RAW)
    split.verify(lambda: None)
    seen: list[bytes] = []
    split.verify(lambda: None, lambda _, data: seen.append(data))
    assert sorted(seen) == sorted(item.content for item in items_of(RAW) if 0 < len(item.content) <= 1 << 20)


def test_what_is_kept_is_all_of_a_layer_or_none(tmp_path: Path) -> None:
    keeper = Keeper(1 << 20)
    split = split_layer(tmp_path, RAW, keeper=keeper)
    assert split.split is not None
    begun = split.pieces()
    next(begun)
    assert keeper.kept(split.split.files) is None
    first = list(split.pieces())
    assert keeper.kept(split.split.files) == tuple(first)
    assert [*begun] == first[1:]
    other = split_layer(tmp_path / "other", RAW, keeper=Keeper(1000))
    list(other.pieces())
    assert other.split is not None
    assert other.split.keeper is not None
    assert other.split.keeper.kept(other.split.files) is None


@given(offsets=st.lists(st.integers(0, len(RAW)), min_size=1, max_size=5).map(sorted), length=st.integers(0, 5000))
@settings(deadline=None)
def test_ranges_are_the_same(offsets: list[int], length: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        layers = in_file(Path(work) / "layer.tar", RAW), split_layer(Path(work), RAW)
        for layer in layers:
            assert layer.ranges(offsets, length) == [RAW[at : at + length] for at in offsets]


def test_a_file_that_is_not_what_it_was(tmp_path: Path) -> None:
    split = split_layer(tmp_path, RAW)
    there = tmp_path / "diff" / "d" / "large"
    good = there.read_bytes()
    there.write_bytes(good[:-1] + b"?")
    with pytest.raises(SquashError) as caught:
        split.verify(lambda: None)
    assert caught.value.code == "layer-changed"
    there.write_bytes(good[:-1])
    with pytest.raises(SquashError, match="ends early"):
        split.verify(lambda: None)
    there.unlink()
    with pytest.raises(FileNotFoundError):
        split.verify(lambda: None)
    there.symlink_to("small")
    with pytest.raises(OSError, match="symbolic links"):
        split.verify(lambda: None)


def record(*lines: object) -> bytes:
    return gzip.compress("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode(), mtime=0)


HEADERS = {"type": 2, "payload": base64.b64encode(RAW[:512]).decode()}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no gzip",
        record(HEADERS)[:-9],
        record(HEADERS)[:-8] + b"????" + record(HEADERS)[-4:],  # another checksum
        record({"type": 2, "payload": "!"}),
        record({"type": 1, "size": 5}),
        record({"type": 1, "name": "../out", "size": 5}),
        record({"type": 1, "name": "a/../../out", "size": 5, "payload": "x"}),
        record({"type": 1, "name": "a\\../b".replace("\\", ""), "size": -5}),
        record({"name": "a", "size": 5}),
        record([1]),
        gzip.compress(b"{\n", mtime=0),
        gzip.compress(b'{"type":2,"payload":"AAAA', mtime=0),
    ],
    ids=range(13),
)
def test_a_damaged_list_is_no_shorter_layer(damaged: bytes) -> None:
    with pytest.raises(SquashError, match="list of its files cannot be read"):
        list(TarSplit(record=damaged, files=b"/nowhere").pieces())
    with contextlib.suppress(SquashError):
        TarSplit(record=damaged, files=b"/nowhere").size()


@pytest.mark.parametrize(
    "pieces",
    [
        [{"type": 1, "name": "d/small", "size": 5, "payload": "x"}],  # a content before any header
        [HEADERS, {"type": 1, "name": "d/small", "size": 5, "payload": "x"}],  # one that no header has
        [{"type": 2, "payload": base64.b64encode(RAW[:1024]).decode()}],  # a header without its content
    ],
    ids=range(3),
)
def test_pieces_that_do_not_fall_as_the_headers_say(pieces: list[object]) -> None:
    layer = Layer(diff_id="sha256:" + "0" * 64, size=0, split=TarSplit(record=record(*pieces), files=b"/nowhere"))
    with pytest.raises(SquashError) as caught:
        list(layer.members("x"))
    assert caught.value.code == "layer-damaged"


def test_what_fails_in_the_engines_folders_is_done_again_whole(tmp_path: Path) -> None:
    saved = SourceImage(config_bytes=b"{}", config={}, layers=())
    first = replace(saved, layers=(split_layer(tmp_path, RAW),), saved=lambda: saved)
    acted: list[SourceImage] = []

    def act(source: SourceImage) -> int:
        acted.append(source)
        for layer in source.layers:
            (tmp_path / "diff" / "d" / "small").unlink()
            layer.verify(lambda: None)
        return len(acted)

    assert whole(first, act) == 2
    assert acted == [first, saved]
    with pytest.raises(FileNotFoundError):
        whole(replace(first, saved=None), act)


@pytest.mark.parametrize("error", [InterruptedError(), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_no_other_reading_would_mend_is_not_done_again(error: BaseException) -> None:
    def never() -> SourceImage:
        raise AssertionError

    def act(_: SourceImage) -> None:
        raise error

    with pytest.raises(type(error)):
        whole(SourceImage(config_bytes=b"{}", config={}, layers=(), saved=never), act)
