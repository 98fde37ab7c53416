"""The beginning of an upload: what can be told of it, and that no archive is refused that could be unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable

import pytest

from imageforge.sources.head import HEAD, wrong_with

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def archive(form: int, size: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, data in (("./" + "d" * 120 + "/ünï", b"x"), ("Dockerfile", os.urandom(size))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize("size", [0, 100, 300_000])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", FORMATS)
def test_archives_of_every_kind_are_taken(form: str, compression: str, size: int) -> None:
    data = COMPRESSIONS[compression](archive(FORMATS[form], size))
    assert wrong_with(data[:HEAD], whole=len(data) <= HEAD) is None


def test_members_of_gzip_and_padding_behind_them_are_taken() -> None:
    data = archive(tarfile.PAX_FORMAT, 100)
    assert wrong_with(gzip.compress(data[:700]) + gzip.compress(data[700:]) + b"\0" * 512, whole=True) is None


def test_a_long_header_of_gzip_s_tells_nothing_yet() -> None:
    named = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * HEAD
    assert wrong_with(named[:HEAD], whole=False) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"x", "it is no tar archive"),
        (b"FROM scratch\n" * 1000, "it is no tar archive"),
        (b"PK\x03\x04" + b"\0" * 1000, "it is no tar archive"),
        (b"\0" * 10240, "it holds no files"),
        (b"\0" * 10, "it is no tar archive"),
        (archive(tarfile.USTAR_FORMAT, 10)[:400], "it is no tar archive"),
        (gzip.compress(b"FROM scratch\n"), "what is compressed in it with gzip is no tar archive"),
        (gzip.compress(archive(tarfile.PAX_FORMAT, 9000))[:5000], "its gzip data ends in the middle"),
        (gzip.compress(archive(tarfile.PAX_FORMAT, 9000))[:-1], "its gzip data ends in the middle"),
        (lzma.compress(archive(tarfile.PAX_FORMAT, 9000))[:-1], "its xz data ends in the middle"),
        (bz2.compress(archive(tarfile.PAX_FORMAT, 9000))[:-1], "its bzip2 data ends in the middle"),
        (b"\x1f\x8b" + b"\xff" * 100, "its gzip data is damaged: "),
    ],
)
def test_what_is_no_whole_archive_is_told(data: bytes, said: str) -> None:
    assert (wrong_with(data, whole=True) or "").startswith(said)


def test_a_bomb_is_not_looked_into_for_long() -> None:
    assert "no tar archive" in (wrong_with(gzip.compress(b"x" * (1 << 25)), whole=True) or "")
