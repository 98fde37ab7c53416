"""`imageforge image inspect`: what it says, in a form that its schema describes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from imageforge.cli.main import run
from imageforge.images.attached import Kind, attach_documents
from registry import Descriptor, RegistryClient
from tests.builders.squash.layers import Item, file, folder, hardlink, whiteout
from tests.registry.conftest import registry_address

from .layered import put_image

__all__ = ["registry_address"]
SCHEMA = Path(__file__).parents[3] / "imageforge" / "report" / "inspection.schema.json"
BASE: list[list[Item]] = [[folder("bin"), file("bin/su", os.urandom(50_000)).but(mode=0o4755)]]
ABOVE: list[list[Item]] = [
    [file("cache", os.urandom(300_000)), file("root/.ssh/id_rsa", "PRIVATE"), file("app/main", "one")],
    [whiteout("cache"), whiteout("root"), file("app/main", "two"), hardlink("app/also", "app/main")],
]
CONFIG = {
    "created": "2026-01-01T00:00:00Z",
    "config": {"Env": ["A=1"], "User": "10001"},
    "history": [
        {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
        {"created_by": "RUN /bin/sh -c make && make install # buildkit"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "/bin/sh -c rm -r /cache"},
    ],
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    put_image(tmp_path / "images", BASE, name="base")
    put_image(tmp_path / "images", [*BASE, *ABOVE], name="app", config=CONFIG, annotations={"team": "shop"})
    put_image(tmp_path / "images", [], name="empty")


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["image", "inspect", *arguments, "-o", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    return found


def test_the_schema_is_one_and_refuses_what_it_should() -> None:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    assert not Draft202012Validator(schema).is_valid({})


def test_who_wasted_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    found = inspected(capsys, f"oci:{images}:app", "--base", f"oci:{images}:base")
    assert [layer["command"] for layer in found["layers"]] == [
        "ADD file:1 in /",
        "RUN make && make install",
        "RUN rm -r /cache",
    ]
    assert [(waste["path"], waste["layer"], waste["by"], waste["how"]) for waste in found["waste"]] == [
        ("/cache", 2, 3, "deleted"),
        ("/app/main", 2, 3, "rewritten"),
        ("/root/.ssh/id_rsa", 2, 3, "deleted"),
    ]
    assert [waste["path"] for waste in found["secrets"]] == ["/root/.ssh/id_rsa"]
    assert found["wasted"] == sum(waste["size"] for waste in found["waste"]) > 300_000
    assert [layer["wasted"] for layer in found["layers"]] == [0, found["wasted"], 0]
    assert [layer["wastes"] for layer in found["layers"]] == [0, 0, found["wasted"]]
    assert found["efficiency"] == pytest.approx(1 - found["wasted"] / found["size"], abs=0.0001)
    assert [(file_["path"], file_["mode"], file_["layer"]) for file_ in found["setuid"]] == [("/bin/su", "4755", 1)]
    assert found["largest"][0]["path"] == "/bin/su"
    assert (found["base"]["layers"], found["platform"], found["annotations"]) == (1, "linux/amd64", {"team": "shop"})
    assert found["squash"]["bill"]["as_shipped"]["merged_from"] == 1


def test_an_image_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(capsys, f"oci:{tmp_path}/images:empty")
    assert (found["layers"], found["size"], found["efficiency"], found["push"]["bytes"]) == ([], 0, 1.0, 0)


def test_what_a_push_would_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str], registry_address: str) -> None:
    app, remote = f"oci:{tmp_path}/images:app", f"{registry_address}/inspected/app"
    everything = inspected(capsys, app)["push"]
    assert everything["to"] is None
    assert inspected(capsys, app, "--to", f"{remote}:1")["push"] == {"to": f"{remote}:1", "bytes": everything["bytes"]}
    assert run(["image", "push", f"oci:{tmp_path}/images:base", f"{remote}:base"]) == 0
    found = inspected(capsys, app, "--to", f"{remote}:1")
    assert [layer["at_target"] for layer in found["layers"]] == [True, False, False]
    assert found["push"]["bytes"] == everything["bytes"] - found["layers"][0]["compressed"]
    assert run(["image", "push", app, f"{remote}:1"]) == 0
    with RegistryClient(registry_address) as client:
        manifest = client.get_manifest("inspected/app", "1")
        subject = Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.raw))
        attach_documents(client, "inspected/app", subject, {Kind.BILL: {"mode": "all"}})
    found = inspected(capsys, f"docker://{remote}:1", "--to", f"{remote}:1")
    assert (found["push"]["bytes"], found["attached"]) == (0, {"bill": {"mode": "all"}})
    assert run(["image", "inspect", app, "--to", "127.0.0.1:1/x:1"]) == 4
    assert "error[registry-unreachable]" in capsys.readouterr().err


def test_an_image_does_not_write_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "history": [{"created_by": "RUN \x1b[2J"}],
        "config": {"Env": ["A=\x1b]0;x\x07"], "Labels": {"\x9b1m": "x"}},
    }
    put_image(tmp_path / "images", [[file("\x1b[31mred", "x" * 100)]], name="evil", config=config)
    evil = f"oci:{tmp_path}/images:evil"
    assert run(["image", "inspect", evil]) == 0
    assert run(["image", "diff", f"oci:{tmp_path}/images:empty", evil]) == 1
    said = "".join(capsys.readouterr())
    assert "/\\x1b[31mred" in said
    assert said.replace("\n", "").isprintable(), said


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", "inspect", f"oci:{tmp_path}/images:app"]) == 0
    said = capsys.readouterr().out
    assert "RUN make && make install" in said
    assert "layer 2, deleted by 3  /cache" in said
    assert "4755  layer 1  /bin/su" in said
    assert "secrets by their names" in said


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["oci:/nowhere"], "layout-missing", 1),
        (["oci:{i}:app", "--to", "oci:x"], "not-a-registry-name", 3),
        (["oci:{i}:app", "--max-entries", "2"], "too-many-entries", 1),
        (["docker-archive:{i}/oci-layout"], "archive-damaged", 1),
    ],
)
def test_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, exit_code: int
) -> None:
    assert run(["image", "inspect", *(word.format(i=tmp_path / "images") for word in arguments)]) == exit_code
    assert f"error[{code}]" in capsys.readouterr().err
