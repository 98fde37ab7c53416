"""The trap corpus: layers on which squashing tools have lost, brought back or damaged files.

Every case is squashed twice, all layers into one and from the first layer on, and compared with the oracle; what a case
is about is checked by hand besides, against the oracle too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from .layers import (
    MARK,
    OPAQUE,
    Item,
    apply,
    assert_well_formed,
    file,
    folder,
    hardlink,
    merged,
    opaque,
    seen,
    squash_layers,
    symlink,
    tar_of,
    whiteout,
)


@dataclass(frozen=True, kw_only=True)
class Trap:
    """`layers` from the bottom up; `has` maps paths to contents (None: anything), `lacks` names hidden ones, `linked`
    groups of hard links."""

    name: str
    layers: list[list[Item]]
    has: dict[str, bytes | None]
    lacks: tuple[str, ...] = ()
    linked: tuple[tuple[str, ...], ...] = ()
    unsplit: bool = False  # no engine's folder could hold it
    meant: list[list[Item]] | None = None  # what the oracle is given, where it does not know the layers' dialect

    @property
    def meaning(self) -> list[list[Item]]:
        return self.layers if self.meant is None else self.meant


A, B, C = b"a", b"b", b"c"
NOT_UTF8 = b"caf\xe9".decode("utf-8", "surrogateescape")
LONG = "/".join(["n" * 60] * 5)

TRAPS = [
    Trap(
        name="1 whiteout of a file", layers=[[file("x", A), file("y", B)], [whiteout("x")]], has={"y": B}, lacks=("x",)
    ),
    Trap(
        name="1 whiteout of a folder",
        layers=[[folder("d"), file("d/x", A)], [whiteout("d")]],
        has={},
        lacks=("d", "d/x"),
    ),
    Trap(
        name="2 opaque before the content",
        layers=[[folder("d"), file("d/a", A)], [folder("d"), opaque("d"), file("d/b", B)]],
        has={"d/b": B},
        lacks=("d/a",),
    ),
    Trap(
        name="2 opaque after the content",
        layers=[[folder("d"), file("d/a", A)], [folder("d"), file("d/b", B), opaque("d")]],
        has={"d/b": B},
        lacks=("d/a",),
    ),
    Trap(
        name="2 opaque hides only what is below",
        layers=[[folder("d"), file("d/a", A)], [folder("d"), opaque("d"), file("d/b", B)], [file("d/c", C)]],
        has={"d/b": B, "d/c": C},
        lacks=("d/a",),
    ),
    Trap(
        name="4 names that begin with ./",
        layers=[[folder("./d"), file("./d/a", A)], [folder("d"), opaque("d")]],
        has={"d": None},
        lacks=("d/a",),
    ),
    Trap(
        name="5 whiteout and new folder in one layer",
        layers=[[folder("d"), file("d/a", A)], [whiteout("d"), folder("d"), file("d/b", B)]],
        has={"d/b": B},
        lacks=("d/a",),
    ),
    Trap(
        name="5 new folder and then its whiteout in one layer",
        layers=[[folder("d"), file("d/a", A)], [folder("d"), file("d/b", B), whiteout("d")]],
        has={"d/b": B},
        lacks=("d/a",),
    ),
    Trap(
        name="6 whiteout and new file in one layer",
        layers=[[file("f", A)], [whiteout("f"), file("f", B)]],
        has={"f": B},
    ),
    Trap(name="6 the other way round", layers=[[file("f", A)], [file("f", B), whiteout("f")]], has={"f": B}),
    Trap(
        name="7 file over folder",
        layers=[[folder("d"), folder("d/e"), file("d/e/x", A)], [file("d", B)]],
        has={"d": B},
        lacks=("d/e", "d/e/x"),
    ),
    Trap(name="8 folder over file", layers=[[file("d", A)], [folder("d"), file("d/x", B)]], has={"d/x": B}),
    Trap(
        name="8 folder over symlink",
        layers=[[folder("t"), file("t/x", A), symlink("d", "t")], [folder("d"), file("d/y", B)]],
        has={"d/y": B, "t/x": A},
        lacks=("t/y", "d/x"),
    ),
    Trap(
        name="8 symlink over folder",
        layers=[[folder("t"), folder("d"), file("d/x", A)], [symlink("d", "t")]],
        has={"d": None},
        lacks=("d/x", "t/x"),
    ),
    Trap(
        name="9 link target deleted",
        layers=[[file("a", A), hardlink("b", "a")], [whiteout("a")]],
        has={"b": A},
        lacks=("a",),
    ),
    Trap(
        name="9 link target deleted, two names left",
        layers=[[file("a", A), hardlink("b", "a"), hardlink("c", "a")], [whiteout("a")]],
        has={"b": A, "c": A},
        lacks=("a",),
        linked=(("b", "c"),),
    ),
    Trap(
        name="10 link target replaced",
        layers=[[file("a", A), hardlink("b", "a")], [file("a", B)]],
        has={"a": B, "b": A},
    ),
    Trap(
        name="11 of three names the first replaced",
        layers=[[file("a", A), hardlink("b", "a"), hardlink("c", "a")], [file("a", B)]],
        has={"a": B, "b": A, "c": A},
        linked=(("b", "c"),),
    ),
    Trap(
        name="11 of three names the middle one replaced",
        layers=[[file("a", A), hardlink("b", "a"), hardlink("c", "a")], [file("b", B)]],
        has={"a": A, "b": B, "c": A},
        linked=(("a", "c"),),
    ),
    Trap(
        name="12 the target's folder deleted",
        layers=[[folder("d"), file("d/a", A), hardlink("b", "d/a")], [whiteout("d")]],
        has={"b": A},
        lacks=("d", "d/a"),
    ),
    Trap(
        name="13 K4 link to a file of a lower layer",
        layers=[[file("a", A)], [hardlink("b", "a"), hardlink("c", "a")]],
        has={"a": A, "b": A, "c": A},
        linked=(("b", "c"),),
    ),
    Trap(
        name="13 link to a lower file that the same layer deletes",
        layers=[[file("a", A)], [hardlink("b", "a"), whiteout("a")]],
        has={"b": A},
        lacks=("a",),
    ),
    Trap(
        name="13 link to a file of the layer in between, deleted above",
        layers=[[file("z", C)], [file("a", A)], [hardlink("b", "a")], [whiteout("a")]],
        has={"b": A, "z": C},
        lacks=("a",),
    ),
    Trap(
        name="14 dangling symlink",
        layers=[[file("a", A), symlink("l", "a")], [whiteout("a")]],
        has={"l": None},
        lacks=("a",),
    ),
    Trap(
        name="15 relative symlink, another file of the name removed",
        layers=[[file("x", A), folder("d"), file("d/x", B), symlink("d/l", "x")], [whiteout("x")]],
        has={"d/l": None, "d/x": B},
        lacks=("x",),
    ),
    Trap(
        name="16 path through a symlink is taken literally",
        layers=[
            [folder("usr"), folder("usr/lib"), file("usr/lib/a", A), symlink("lib", "usr/lib")],
            [file("lib/f", B)],
        ],
        has={"lib/f": B, "usr/lib/a": A},
        lacks=("usr/lib/f",),
    ),
    Trap(
        name="17 whiteout through a symlink does not reach the target",
        layers=[[folder("u"), file("u/f", A), symlink("l", "u")], [whiteout("l/f")]],
        has={"u/f": A, "l": None},
    ),
    Trap(
        name="18 .wh. in the middle of a name",
        layers=[[file("ab", A), file(f"a{MARK}b", B)], [file(f"x{MARK}", C)]],
        has={"ab": A, f"a{MARK}b": B, f"x{MARK}": C},
    ),
    Trap(
        name="20 what AUFS kept for itself",
        layers=[
            [folder(".wh..wh.plnk"), file(".wh..wh.plnk/12.34", A), hardlink("a", ".wh..wh.plnk/12.34"), file("b", B)],
            [file(".wh..wh.aufs"), folder(".wh..wh.orph"), file(".wh..wh.orph/x", C)],
        ],
        has={"a": A, "b": B},
        lacks=(".wh..wh.plnk", ".wh..wh.orph/x"),
        meant=[[file("a", A), file("b", B)], []],
    ),
    Trap(
        name="21 a path twice in a layer",
        layers=[[file("f", A), file("f", B)], [file("g", C)]],
        has={"f": B, "g": C},
        unsplit=True,
    ),
    Trap(
        name="21 a folder, then a file of the name",
        layers=[[file("z", A)], [folder("d"), file("d/x", A), file("d", B)]],
        has={"d": B, "z": A},
        lacks=("d/x",),
        unsplit=True,
    ),
    Trap(
        name="21 a link, then a file of the name",
        layers=[[file("a", A)], [file("b", B), hardlink("c", "b"), file("c", C)]],
        has={"a": A, "b": B, "c": C},
    ),
    Trap(
        name="22 slashes before, after and doubled",
        layers=[[folder("/d/"), file("/d//x", A)], [file("d/./x", B)]],
        has={"d/x": B},
    ),
    Trap(
        name="23 a link that comes before its target by name",
        layers=[[file("z", A), hardlink("a", "z")], [hardlink("m", "z")]],
        has={"a": A, "z": A, "m": A},
        linked=(("a", "z"),),
    ),
    Trap(
        name="24 parents that the upper layer does not tell",
        layers=[[folder("s", mode=0o700, uid=7), folder("s/t", mode=0o1777)], [file("s/t/f", A)]],
        has={"s/t/f": A},
    ),
    Trap(
        name="25 a folder's new attributes keep what is in it",
        layers=[[folder("d"), file("d/x", A)], [folder("d", mode=0o700, mtime="2000")]],
        has={"d/x": A},
    ),
    Trap(
        name="26 long names and long link targets",
        layers=[[file(LONG, A), hardlink("h", LONG), symlink("s", LONG)], [file(f"{LONG}2", B)]],
        has={LONG: A, "h": A, "s": None, f"{LONG}2": B},
        linked=((LONG, "h"),),
    ),
    Trap(
        name="27 names that are not UTF-8",
        layers=[
            [folder("d"), file(f"d/{NOT_UTF8}", A), file("d/b", B)],
            [whiteout(f"d/{NOT_UTF8}"), file(NOT_UTF8, C)],
        ],
        has={NOT_UTF8: C, "d/b": B},
        lacks=(f"d/{NOT_UTF8}",),
    ),
    Trap(
        name="28 composed and decomposed names are two",
        layers=[[file("\u00e9", A)], [file("e\u0301", B)]],
        has={"\u00e9": A, "e\u0301": B},
    ),
    Trap(
        name="29 extended attributes, binary ones too",
        layers=[
            [file("a", A, pax={"SCHILY.xattr.user.x": "line\nline"})],
            [
                file(
                    "ping",
                    B,
                    pax={
                        "SCHILY.xattr.security.capability": b"\x01\x00\x00\x02\xff\xfe\x00".decode(
                            "utf-8", "surrogateescape"
                        )
                    },
                )
            ],
        ],
        has={"a": A, "ping": B},
    ),
    Trap(
        name="30 setuid, setgid, sticky",
        layers=[[file("a", A, mode=0o4755)], [file("b", B, mode=0o2755), folder("t", mode=0o1777)]],
        has={"a": A, "b": B, "t": None},
    ),
    Trap(
        name="31 devices and pipes",
        layers=[
            [Item(kind="character", path="null", device=(1, 3)), Item(kind="fifo", path="p")],
            [
                Item(kind="block", path="disk", device=(8, 1)),
                Item(kind="character", path="far", device=(4095, 1048575)),
            ],
        ],
        has={"null": None, "p": None, "disk": None, "far": None},
    ),
    Trap(
        name="32 times with fractions and before 1970",
        layers=[
            [file("a", A, mtime="1700000000.123456789")],
            [file("b", B, mtime="1.5"), file("old", C, mtime="-86400")],
        ],
        has={"a": A, "b": B, "old": C},
    ),
    Trap(
        name="33 large owners",
        layers=[[file("a", A, uid=1 << 22, gid=(1 << 31) + 5)], [file("b", B, uid=4294967294)]],
        has={"a": A, "b": B},
    ),
    Trap(
        name="36 an entry for the root", layers=[[folder("."), file("a", A)], [folder("./", mode=0o700)]], has={"a": A}
    ),
    Trap(
        name="38 symlinks with absolute targets and with ..",
        layers=[[symlink("l", "/bin/sh")], [symlink("m", "../../etc/passwd")]],
        has={"l": None, "m": None},
    ),
    Trap(
        name="39 hard link to a symlink",
        layers=[[file("t", A), symlink("s", "t"), hardlink("h", "s")], [whiteout("s")]],
        has={"h": None, "t": A},
        lacks=("s",),
    ),
    Trap(
        name="39 link whose target is a symlink that is replaced",
        layers=[[symlink("s", "x"), hardlink("h", "s")], [file("s", B)]],
        has={"s": B, "h": None},
    ),
    Trap(
        name="K1 a base folder removed, then made again",
        layers=[
            [folder("d"), file("d/old", A), folder("d/e"), file("d/e/x", A)],
            [whiteout("d")],
            [folder("d"), file("d/new", B)],
        ],
        has={"d/new": B},
        lacks=("d/old", "d/e", "d/e/x"),
    ),
    Trap(
        name="K1 made again with a folder of the same name in it",
        layers=[
            [folder("d"), folder("d/e"), file("d/e/x", A)],
            [whiteout("d")],
            [folder("d"), folder("d/e"), file("d/e/y", B)],
        ],
        has={"d/e/y": B},
        lacks=("d/e/x",),
    ),
    Trap(
        name="K2 file over a base folder, then a folder again",
        layers=[[folder("d"), file("d/old", A)], [file("d", B)], [folder("d"), file("d/new", C)]],
        has={"d/new": C},
        lacks=("d/old",),
    ),
    Trap(
        name="K3 symlink over a base folder, then a folder again",
        layers=[[folder("d"), file("d/old", A)], [symlink("d", "x")], [folder("d"), file("d/new", C)]],
        has={"d/new": C},
        lacks=("d/old",),
    ),
    Trap(
        name="K5 added and removed above the base",
        layers=[[file("z", A)], [file("t", B), folder("u"), file("u/v", B)], [whiteout("t"), whiteout("u")]],
        has={"z": A},
        lacks=("t", "u"),
    ),
    Trap(
        name="K6 whiteouts in a folder that goes too",
        layers=[[folder("d"), file("d/a", A), file("d/b", B)], [whiteout("d/a")], [whiteout("d")]],
        has={},
        lacks=("d", "d/a"),
    ),
    Trap(
        name="K7 whiteout beside new files",
        layers=[[folder("d"), file("d/z", A), file("d/k", B)], [file("d/a", B), file("d/b", C), whiteout("d/z")]],
        has={"d/a": B, "d/b": C, "d/k": B},
        lacks=("d/z",),
    ),
    Trap(
        name="a base file deleted, another of the folder kept",
        layers=[[folder("d"), folder("d/e"), file("d/e/a", A), file("d/e/b", B)], [whiteout("d/e/a")]],
        has={"d/e/b": B},
        lacks=("d/e/a",),
    ),
    Trap(
        name="everything at the root deleted",
        layers=[[file("a", A), folder("b"), file("b/c", B)], [whiteout("a"), whiteout("b")], [file("n", C)]],
        has={"n": C},
        lacks=("a", "b"),
    ),
    Trap(
        name="a large file, links and an empty one",
        layers=[[file("big", b"0123456789" * 300_000), hardlink("also", "big")], [file("empty"), whiteout("big")]],
        has={"also": b"0123456789" * 300_000, "empty": b""},
        lacks=("big",),
    ),
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_the_oracle_knows_the_trap(trap: Trap) -> None:
    expected = merged(trap.meaning)
    for path, content in trap.has.items():
        assert path in expected
        assert content is None or expected[path].item.content == content
    assert not set(trap.lacks) & expected.keys()
    for group in trap.linked:
        assert len({id(expected[path]) for path in group}) == 1


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_all_layers_become_one_of_the_same_meaning(trap: Trap, tmp_path: Path) -> None:
    result = squash_layers(tmp_path, [tar_of(layer) for layer in trap.layers], start=0)
    assert result.image.layers_after == len(result.layers) <= 1
    assert seen(merged(result.layers)) == seen(merged(trap.meaning))
    for layer in result.layers:
        assert_well_formed(layer, {})
        assert not any(item.name.startswith(MARK) for item in layer)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_layers_above_a_base_become_one_of_the_same_meaning(trap: Trap, tmp_path: Path) -> None:
    raws = [tar_of(layer) for layer in trap.layers]
    result = squash_layers(tmp_path, raws, start=1)
    if not trap.unsplit:
        assert squash_layers(tmp_path / "split", raws, start=1, split=True).image.digest == result.image.digest
    base, above = merged(trap.meaning[:1]), result.layers[1:]
    assert len(above) <= 1
    assert result.raws[0] == raws[0]
    for layer in above:
        assert_well_formed(layer, base)
    assert seen(apply(dict(base), above[0] if above else [])) == seen(merged(trap.meaning))


def trap(name: str) -> list[bytes]:
    return [tar_of(layer) for found in TRAPS if found.name == name for layer in found.layers]


def test_added_and_removed_leaves_no_layer(tmp_path: Path) -> None:
    result = squash_layers(tmp_path, trap("K5 added and removed above the base"), start=1)
    assert result.image.layers_after == 1


def test_whiteouts_under_a_hidden_folder_are_one(tmp_path: Path) -> None:
    result = squash_layers(tmp_path, trap("K6 whiteouts in a folder that goes too"), start=1)
    assert result.names == [f"{MARK}d"]


def test_a_folder_made_again_is_opaque(tmp_path: Path) -> None:
    result = squash_layers(tmp_path, trap("K1 a base folder removed, then made again"), start=1)
    assert result.names == ["d", f"d/{OPAQUE}", "d/new"]


def test_parents_are_carried_as_they_are(tmp_path: Path) -> None:
    result = squash_layers(tmp_path, trap("24 parents that the upper layer does not tell"), start=1)
    assert [(item.path, item.mode, item.uid) for item in result.top][:2] == [("s", 0o700, 7), ("s/t", 0o1777, 0)]
