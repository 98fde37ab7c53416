"""The same bytes whatever the processor: the codecs under models of several, with and without their vector units."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from builders.squash.codec import Compression

QEMU = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
ROOT = Path(__file__).resolve().parents[3]
# Text, machine code, noise and zeros, in blocks with a window before them.
PROGRAM = """
import hashlib, json, sys
from builders.squash.codec import WINDOW, Compression, codec
text = b"".join(hashlib.sha256(b"%d" % (n // 5)).hexdigest().encode()[: 9 + n % 50] for n in range(12_000))
noise = b"".join(hashlib.sha256(b"noise %d" % n).digest() for n in range(2_000))
code = open(sys.argv[1], "rb").read()[:500_000]
plain = text + code + noise + bytes(100_000) + text[::-1] + code[::2]
cuts = [0, 1, 70_000, 700_000, len(plain)]
found = {}
for compression in Compression:
    made = codec(compression)
    blocks = [made.block(plain[a:b], plain[max(0, a - WINDOW):a], b == len(plain)) for a, b in zip(cuts, cuts[1:])]
    found[compression] = [made.key, hashlib.sha256(b"".join(blocks)).hexdigest()]
print(json.dumps(found))
"""
Found = dict[str, list[str]]


@cache
def packed(model: str | None) -> Found:
    """What each compression makes of the same bytes on a processor, this one for None: its key and a digest."""
    emulator = [QEMU or "", "-cpu", model] if model else []
    command = [*emulator, sys.executable, "-c", PROGRAM, str(Path(sys.executable).resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=240)
    found: Found = json.loads(done.stdout)
    return found


pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the models are of x86-64"),
    pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 is not installed (Debian: qemu-user)"),
]


@pytest.mark.parametrize("model", ["Nehalem", "SandyBridge", "Haswell"])
def test_processors_since_2008_give_the_same_bytes(model: str) -> None:
    """SSE 4.2; AVX; AVX2. This machine's own may have AVX-512, which the emulator has not."""
    assert packed(model) == packed(None)


def test_what_gives_other_bytes_has_another_key() -> None:
    """ISA-L hashes in another way without SSE 4.2. Such a machine's store says so: one key, one blob."""
    here, there = packed(None), packed("qemu64")
    for compression in Compression:
        assert (here[compression][0] == there[compression][0]) is (here[compression][1] == there[compression][1])
    assert {compression for compression in Compression if here[compression] != there[compression]} == {
        Compression.FAST,
        Compression.BALANCED,
    }
