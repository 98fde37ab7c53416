"""Leaks in OCI layouts that tarfile and the registry package have made."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import zstd
from imageforge.vault import scan
from imageforge.vault.scan import Leak, scan_layout
from registry import Descriptor, ImageManifest, LayoutError, MediaType, OciLayout
from registry.layout import LARGEST_CONFIG

TOKEN = "t0ken-of-the-realm"
SECRETS = {"TOKEN": TOKEN}


def tar(
    files: dict[str, bytes] | None = None, links: dict[str, str] | None = None, *, form: int = tarfile.PAX_FORMAT
) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, data in (files or {}).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


def image(
    layout: OciLayout, *layers: bytes, config: dict[str, Any] | None = None, media_type: str = MediaType.OCI_LAYER_GZIP
) -> Descriptor:
    """Adds an image to a layout."""
    raw = json.dumps(config or {}).encode()
    described = [
        Descriptor(media_type=str(media_type), digest=layout.add_blob(layer), size=len(layer)) for layer in layers
    ]
    manifest = ImageManifest.create(
        config=Descriptor(media_type=str(MediaType.OCI_CONFIG), digest=layout.add_blob(raw), size=len(raw)),
        layers=described,
    )
    return layout.put_manifest(manifest)


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout.create(tmp_path / "layout")


def places(layout: OciLayout, secrets: dict[str, str] | None = None, **options: Any) -> list[str]:
    leaks = scan_layout(layout.path, secrets or SECRETS, **options)
    assert TOKEN not in repr(leaks)
    return [leak.place for leak in leaks]


def test_a_clean_image_has_no_leaks(layout: OciLayout) -> None:
    image(layout, gzip.compress(tar({"srv/app.py": b"print()"})), tar({"x": b"y"}), config={"config": {"Env": ["A=b"]}})
    assert scan_layout(layout.path, SECRETS) == ()


def test_the_configuration_is_searched(layout: OciLayout) -> None:
    config = {
        "config": {
            "Env": ["PATH=/bin", f"TOKEN={TOKEN}"],
            "Labels": {"a": "b", "org.example.x": f"<{base64.b64encode(TOKEN.encode()).decode()}>", TOKEN: "y"},
            "Cmd": ["serve", f"--token={TOKEN}"],
        },
        "history": [{"created_by": "FROM x"}, {"created_by": f"ARG\tTOKEN={TOKEN}", "empty_layer": True}],
    }
    image(layout, config=config)
    assert sorted(places(layout)) == [
        "configuration of the image, config.Cmd.1",
        "environment variable TOKEN",
        "history of the image: `ARG TOKEN=***`",
        "label ***",
        "label org.example.x",
    ]
    assert {leak.secret for leak in scan_layout(layout.path, SECRETS)} == {"TOKEN"}


def test_a_long_step_is_shown_around_the_secret(layout: OciLayout) -> None:
    image(layout, config={"history": [{"created_by": "RUN " + "a " * 500 + TOKEN + " b" * 500 + "\x1b[2J"}]})
    [place] = places(layout)
    assert "*** b b" in place
    assert len(place) < 200


def test_layers_are_searched(layout: OciLayout) -> None:
    files = {"./srv/.env": f"TOKEN={TOKEN}\n".encode(), f"srv/{TOKEN}/x": b"", "srv/ok": b"fine"}
    image(
        layout,
        gzip.compress(tar({"bin/sh": b"x"})),
        gzip.compress(tar(files)),
        tar({"b64": base64.b64encode(f"{TOKEN}\n".encode())}, {"etc/link": f"/run/{TOKEN}"}),
    )
    assert places(layout) == [
        "/srv/.env in layer 2",
        "name of /srv/***/x in layer 2",
        "/b64 in layer 3",
        "link target of /etc/link in layer 3",
    ]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_in_every_format(layout: OciLayout, form: int) -> None:
    name = "/".join(["d" * 60, "e" * 60, f"{TOKEN}.txt"])
    image(layout, tar({name: b""}, form=form))
    assert places(layout) == [f"name of /{'d' * 60}/{'e' * 60}/***.txt in layer 1"]


def test_names_of_any_bytes_and_attributes_are_shown_safely(layout: OciLayout) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a\x1b\udcff\nb")
        member.pax_headers = {"SCHILY.xattr.user.note": TOKEN}
        archive.addfile(member)
    image(layout, packed.getvalue())
    assert places(layout) == ["attribute SCHILY.xattr.user.note of /a\\x1b\\udcff\\nb in layer 1"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"x", TOKEN[:5].encode(), TOKEN[5:].encode(), TOKEN.encode()]), max_size=12),
    st.integers(1, 40),
)
def test_a_value_is_found_over_the_edges_of_chunks(parts: list[bytes], size: int) -> None:
    content = b"".join(parts)
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    assert scan._Search.of(SECRETS).in_chunks(chunks) == (["TOKEN"] if TOKEN.encode() in content else [])


def test_a_large_file_is_read_in_chunks(layout: OciLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 1 << 16)
    noise = bytes(range(1, 256)) * 1000
    edge = noise[: (1 << 16) - 7] + TOKEN.encode() + noise
    image(layout, gzip.compress(tar({"big": edge, "other": noise})))
    assert places(layout) == ["/big in layer 1"]


def test_several_secrets_and_forms_of_one_value(layout: OciLayout) -> None:
    image(layout, tar({"a": b"key: first-value", "b": b"first-value second-value"}))
    secrets = {
        "ONE": "first-value\n",
        "TWO": "second-value",
        "SAME": "first-value",
        "SHORT": "key: fi",
        "BLANK": " " * 9,
    }
    assert scan_layout(layout.path, secrets) == (
        Leak(secret="ONE", place="/a in layer 1"),
        Leak(secret="SAME", place="/a in layer 1"),
        Leak(secret="ONE", place="/b in layer 1"),
        Leak(secret="TWO", place="/b in layer 1"),
        Leak(secret="SAME", place="/b in layer 1"),
    )


def test_layers_left_out_need_not_be_there(layout: OciLayout) -> None:
    base = tar({"a": TOKEN.encode()})
    image(layout, base, tar({"b": TOKEN.encode()}))
    digest = layout.add_blob(base)
    layout.blob_path(digest).unlink()
    assert places(layout, skip=frozenset({digest})) == ["/b in layer 2"]
    with pytest.raises(LayoutError, match="missing"):
        scan_layout(layout.path, SECRETS)


def test_a_nested_index_attestations_and_annotations(layout: OciLayout) -> None:
    packed = tar({"a": TOKEN.encode()})
    first = image(layout, packed)
    statement = json.dumps({"predicate": {"invocation": {"args": {"TOKEN": TOKEN}}}}).encode()
    second = image(layout, statement, media_type="application/vnd.in-toto+json")
    nested = json.dumps(
        {"manifests": [first.as_dict(), {**second.as_dict(), "annotations": {"note": f"x {TOKEN}"}}]}
    ).encode()
    entry = Descriptor(media_type=str(MediaType.OCI_INDEX), digest=layout.add_blob(nested), size=len(nested))
    (layout.path / "index.json").write_text(json.dumps({"manifests": [entry.as_dict(), first.as_dict()]}))
    assert places(layout) == [
        "annotation note",
        "/a in layer 1",
        "application/vnd.in-toto+json in layer 1, predicate.invocation.args.TOKEN",
    ]


def test_a_sparse_file_of_any_size(layout: OciLayout, tmp_path: Path) -> None:
    hollow = tmp_path / "hollow"
    with hollow.open("wb") as file:
        file.seek(1 << 40)
        file.write(TOKEN.encode())
        file.truncate(1 << 41)
    for form in ("gnu", "posix"):
        packed = tmp_path / f"{form}.tar"
        subprocess.run(["tar", "-C", tmp_path, "--sparse", f"--format={form}", "-cf", packed, "hollow"], check=True)
        image(layout, packed.read_bytes())
        assert places(layout) == ["/hollow in layer 1"]


def test_the_layout_of_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as caught:
        scan_layout(tmp_path, SECRETS)
    assert caught.value.code == "layout-missing"


WHOLE = tar({"a": b"1", "b": b"2" * 2000})


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(WHOLE[:700], id="cut in a header's padding"),
        pytest.param(WHOLE[:1300], id="cut in a header"),
        pytest.param(WHOLE[:2000], id="cut in a content"),
        pytest.param(WHOLE[:1024] + b"\1" + WHOLE[1025:], id="a wrong checksum in the middle"),
        pytest.param(WHOLE + TOKEN.encode(), id="something behind the end"),
        pytest.param(b"no tar at all", id="no tar"),
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(WHOLE)[:-20], id="gzip cut short"),
        pytest.param(
            gzip.compress(WHOLE)[:20] + b"\xff\xff\xff" + gzip.compress(WHOLE)[23:], id="gzip with wrong bytes"
        ),
        pytest.param(gzip.compress(WHOLE)[:-8] + b"wrongsum", id="gzip with a wrong sum"),
        pytest.param(gzip.compress(WHOLE) + b"more", id="something behind the gzip"),
    ],
)
def test_a_damaged_layer_is_never_clean(layout: OciLayout, layer: bytes) -> None:
    image(layout, layer)
    with pytest.raises(LayoutError) as caught:
        scan_layout(layout.path, SECRETS)
    assert caught.value.code == "blob-damaged"


def test_zstd_is_searched_too(layout: OciLayout) -> None:
    packed = zstd.pack(tar({"srv/key": TOKEN.encode()})[:700], 3) + zstd.pack(tar({"srv/key": TOKEN.encode()})[700:], 3)
    image(layout, packed, media_type=MediaType.OCI_LAYER_ZSTD)
    assert len(places(layout)) == 1


@pytest.mark.parametrize("damage", [lambda packed: packed[:-3], lambda packed: packed[:6] + b"x" * 20])
def test_zstd_that_is_damaged_is_never_clean(layout: OciLayout, damage: Callable[[bytes], bytes]) -> None:
    image(layout, damage(zstd.pack(tar({"srv/app.py": b"print()"}), 3)), media_type=MediaType.OCI_LAYER_ZSTD)
    with pytest.raises(LayoutError) as caught:
        scan_layout(layout.path, SECRETS)
    assert caught.value.code == "blob-damaged"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'{"config": {}, "layers": []}',
        b'{"config": {"mediaType": "x", "digest": "y", "size": 1}, "layers": 5}',
    ],
)
def test_a_damaged_manifest(layout: OciLayout, raw: bytes) -> None:
    entry = Descriptor(media_type=str(MediaType.OCI_MANIFEST), digest=layout.add_blob(raw), size=len(raw))
    (layout.path / "index.json").write_text(json.dumps({"manifests": [entry.as_dict()]}))
    with pytest.raises(LayoutError):
        scan_layout(layout.path, SECRETS)


def test_an_index_is_read_within_bounds(layout: OciLayout) -> None:
    index = layout.path / "index.json"
    with index.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(LayoutError) as caught:
        scan_layout(layout.path, SECRETS)
    assert (caught.value.code, "expected at most" in caught.value.message) == ("layout-damaged", True)
    index.unlink()
    os.mkfifo(index)  # opening one would wait for a writer
    with pytest.raises(LayoutError, match="no regular file"):
        scan_layout(layout.path, SECRETS)


@pytest.mark.parametrize("which", ["configuration", "manifest", "attestation"])
def test_documents_are_read_within_bounds(layout: OciLayout, which: str) -> None:
    image(layout, b"{}", media_type="application/vnd.in-toto+json")
    manifest, size = layout.manifest(), LARGEST_CONFIG + 1
    chosen = {
        "configuration": manifest.config,
        "manifest": layout.manifest_descriptor(),
        "attestation": manifest.layers[0],
    }[which]
    with layout.blob_path(chosen.digest).open("r+b") as file:
        file.truncate(size)
    text = (manifest.raw if which != "manifest" else (layout.path / "index.json").read_bytes()).decode()
    text = text.replace(f'"size":{chosen.size}', f'"size":{size}')
    if which == "manifest":
        (layout.path / "index.json").write_text(text)
    else:
        raw = text.encode()
        entry = Descriptor(media_type=str(MediaType.OCI_MANIFEST), digest=layout.add_blob(raw), size=len(raw))
        (layout.path / "index.json").write_text(json.dumps({"manifests": [entry.as_dict()]}))
    with pytest.raises(LayoutError) as caught:
        scan_layout(layout.path, SECRETS)
    assert caught.value.code == ("manifest-too-large" if which == "manifest" else "document-too-large")
    assert caught.value.hint


def test_a_document_of_any_depth_is_searched_or_refused(layout: OciLayout) -> None:
    def put(depth: int) -> None:
        inner: Any = TOKEN
        raw = b'{"a":' + b"[" * depth + json.dumps(inner).encode() + b"]" * depth + b"}"
        manifest = ImageManifest.create(
            config=Descriptor(media_type=str(MediaType.OCI_CONFIG), digest=layout.add_blob(raw), size=len(raw)),
            layers=[],
        )
        layout.put_manifest(manifest)

    put(900)
    assert len(places(layout)) == 1
    put(200_000)
    with pytest.raises(LayoutError, match="unreadable JSON"):
        scan_layout(layout.path, SECRETS)


def test_a_damaged_configuration_and_a_damaged_nested_index(layout: OciLayout) -> None:
    image(layout)
    config = layout.blob_path(layout.manifest().config.digest)
    config.write_bytes(b"}{")
    with pytest.raises(LayoutError, match="unreadable JSON"):
        scan_layout(layout.path, SECRETS)
    raw = b'{"manifests": 5}'
    entry = Descriptor(media_type=str(MediaType.OCI_INDEX), digest=layout.add_blob(raw), size=len(raw))
    (layout.path / "index.json").write_text(json.dumps({"manifests": [entry.as_dict()]}))
    with pytest.raises(LayoutError, match="unreadable index"):
        scan_layout(layout.path, SECRETS)
