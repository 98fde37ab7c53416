"""Whether the local registry has an image that is in the engine. A real registry; no engine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from imageforge.cli.image_access import telling
from imageforge.cli.image_ls import _Shelf
from imageforge.cli.main import run
from tests.registry.conftest import Maker, make, registry_address

__all__ = ["make", "registry_address"]


def test_an_image_that_was_pushed_by_a_name_of_its_own_is_found_by_it(
    make: Maker, registry_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    make.layout.put_manifest(make.image(b"one"), "a")
    pushed, other = f"{registry_address}/ls/tool:1", f"{registry_address}/ls/tool:2"
    assert run(["image", "copy", f"oci:{make.layout.path}:a", f"docker://{pushed}"]) == 0
    with contextlib.closing(_Shelf(registry_address)) as shelf:
        assert shelf.has_any((None, "tool:1", pushed)) is True
        assert shelf.has_any((None, other, pushed)) is True
        assert shelf.has_any((None, "tool:1", other)) is False
        assert shelf.has_any((None, "other.example:5000/ls/tool:1")) is False
        assert shelf.has_any(("other.example:5000/ls/tool@sha256:" + "0" * 64,)) is None
        assert shelf.silent is False


def test_ctrl_c_tells_what_is_true_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), telling("no name was set"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "no name was set\n"
