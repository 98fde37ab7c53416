"""zstd frames, however they come."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import zstd

PLAIN = b"".join(b"%d words " % number for number in range(400_000))
FRAMES = [PLAIN[:1000], b"", PLAIN[1000 : 3 << 20], PLAIN[3 << 20 :]]
SKIPPED = b"\x50\x2a\x4d\x18\x05\0\0\0hello"  # a frame that readers pass over: some writers put an index there
PACKED = b"".join([zstd.pack(FRAMES[0], 3), SKIPPED, *(zstd.pack(frame, 3) for frame in FRAMES[1:]), SKIPPED])


@settings(max_examples=40, deadline=None)
@given(points=st.lists(st.integers(0, len(PACKED)), max_size=20))
def test_frames_in_any_pieces(points: list[int]) -> None:
    bounds = sorted({0, len(PACKED), *points})
    out = list(zstd.unpack(PACKED[start:end] for start, end in itertools.pairwise(bounds)))
    assert b"".join(out) == PLAIN
    assert max(map(len, out)) <= 1 << 20, "in pieces of bounded size"


def test_byte_by_byte() -> None:
    small = zstd.pack(b"small", 3) + zstd.pack(b" frames", 3)
    assert b"".join(zstd.unpack(small[at : at + 1] for at in range(len(small)))) == b"small frames"


def test_a_bomb_comes_in_small_pieces() -> None:
    packed = zstd.pack(bytes(64 << 20), 19)
    assert len(packed) < 10_000
    assert max(len(piece) for piece in itertools.islice(zstd.unpack([packed]), 20)) <= 1 << 20


@pytest.mark.parametrize("cut", [1, 4, 5, 100])
def test_a_frame_that_ends_early(cut: int) -> None:
    with pytest.raises(EOFError):
        list(zstd.unpack([zstd.pack(PLAIN, 3)[:-cut]]))


@pytest.mark.parametrize("damaged", [b"garbage", PACKED + b"\0\0\0\0", PACKED[:2000] + b"x" + PACKED[2001:]])
def test_what_is_no_frame(damaged: bytes) -> None:
    with pytest.raises(zstd.ZstdError):
        list(zstd.unpack([damaged]))


def test_nothing_is_nothing() -> None:
    assert list(zstd.unpack([])) == []
