"""Whether the local registry has an image that is in the engine. A real registry; no engine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from builders import EngineImage
from imageforge.cli import image_ls
from imageforge.cli.image_access import telling
from imageforge.cli.image_ls import _Shelf
from imageforge.cli.main import run
from imageforge.cli.state import Workplace
from imageforge.images.retention import BUILD_NAME
from imageforge.store import Apps
from runtime import Label
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


def test_of_an_app_that_is_not_there_is_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(image_ls.engine_choice, "answering", lambda home, settings: None)
    left = EngineImage(image_id="sha256:1", names=("b:1",), size=1, created=1.0, labels={Label.APP.value: "gone"})
    monkeypatch.setattr(image_ls, "labelled", lambda endpoint, label, value: (left,))
    with Workplace.here().database() as database:
        Apps(database).ensure("hello")
    assert run(["image", "ls", "helo"]) == 3
    assert "error[no-such-app]: helo: " in (err := capsys.readouterr().err)
    assert "did you mean hello?" in err
    assert run(["image", "ls", "hello"]) == 0
    assert run(["image", "ls", "gone"]) == 0
    assert "b:1" in capsys.readouterr().out


def test_an_image_of_several_names_says_how_many_more_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(image_ls.engine_choice, "answering", lambda home, settings: None)
    build = f"{BUILD_NAME}:7"
    names = {"1": ("shop:1", "shop:2", "tool:1"), "2": ("only:1", build), "3": (build, "late:1"), "4": ()}
    found = [
        EngineImage(image_id=f"sha256:{key * 64}", names=value, size=1, created=1.0, labels={})
        for key, value in names.items()
    ]
    monkeypatch.setattr(image_ls, "labelled", lambda endpoint, label, value: found)

    def images(form: str) -> list[str]:
        assert run(["image", "ls", "-o", form]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if ":" in line]

    table, wide = images("table"), images("wide")
    for word in ("shop:1 +2", "only:1", "late:1", "sha256:4444"):
        assert any(word in line for line in table), word
    assert sum("+" in line for line in table) == 1, "what a build calls it is no name that anybody gave"
    assert not any("+" in line for line in wide), "there all of them are shown"
    assert any("shop:1, shop:2, tool:1" in line for line in wide)
