"""Which client is chosen. The clients of this machine are used where they are; programs that only answer ``--version``
and ``buildx version`` stand for the others, because nothing more is asked of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builders import BuildClient, ClientError, ClientKind, Endpoint, EngineFacts, find_build_client
from builders.engine.facts import facts_from

ENDPOINT = Endpoint(host="unix:///none.sock", origin="test")
FACTS = facts_from({"Version": "20.10.24"}, {})


def install(folder: Path, version: str, *, buildx: str | None = None) -> Path:
    """A `docker` that answers as that version would."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = f"echo github.com/docker/buildx {buildx} 0123abc" if buildx else "echo unknown command >&2; exit 1"
    path = folder / "docker"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = buildx ]; then {answer}; exit; fi\necho "Docker version {version}, build 0123abc"\n'
    )
    path.chmod(0o755)
    return path


def choose(*folders: Path, facts: EngineFacts = FACTS) -> BuildClient:
    path = os.pathsep.join(map(str, folders))
    return find_build_client(ENDPOINT, facts, {"PATH": path}, places=())


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ClientError) as caught:
        choose(tmp_path)
    assert caught.value.code == "no-buildkit-client"
    assert "none is on PATH" in caught.value.message
    assert "buildx" in (caught.value.hint or "")


def test_every_unfit_client_is_named_with_the_reason(tmp_path: Path) -> None:
    new = install(tmp_path / "new", "28.2.2")
    old = install(tmp_path / "old", "18.06.3-ce")
    mute = tmp_path / "mute" / "docker"
    mute.parent.mkdir()
    mute.write_text("#!/bin/sh\nexit 3\n")
    mute.chmod(0o755)
    with pytest.raises(ClientError) as caught:
        choose(new.parent, old.parent, mute.parent)
    message = caught.value.message
    assert f"{new} (version 28.2.2) needs the buildx plugin" in message
    assert f"{old} (version 18.06.3-ce) is older than BuildKit" in message
    assert f"{mute} does not say its version" in message


def test_a_file_that_cannot_be_run_is_no_client(tmp_path: Path) -> None:
    broken = tmp_path / "a" / "docker"
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "docker").write_text("not executable")
    good = install(tmp_path / "c", "20.10.24+dfsg1")
    assert choose(tmp_path / "a", tmp_path / "b", tmp_path / "c").path == good


def test_the_trap_a_new_client_without_buildx_comes_first(tmp_path: Path) -> None:
    install(tmp_path / "new", "28.2.2")
    fit = install(tmp_path / "old", "20.10.24+dfsg1")
    chosen = choose(tmp_path / "new", tmp_path / "old")
    assert (chosen.path, chosen.kind, chosen.version) == (fit, ClientKind.BUILTIN, "20.10.24+dfsg1")


def test_buildx_comes_before_a_built_in_client(tmp_path: Path) -> None:
    install(tmp_path / "old", "20.10.24")
    fit = install(tmp_path / "new", "27.3.1", buildx="v0.17.1")
    chosen = choose(tmp_path / "old", tmp_path / "new")
    assert (chosen.path, chosen.kind, chosen.version) == (fit, ClientKind.BUILDX, "v0.17.1")


def test_common_places_are_looked_at_too(tmp_path: Path) -> None:
    fit = install(tmp_path / "old", "20.10.24")
    chosen = find_build_client(ENDPOINT, FACTS, {"PATH": str(tmp_path)}, places=(fit,))
    assert chosen.path == fit


def test_an_engine_that_is_too_old_is_named(tmp_path: Path) -> None:
    install(tmp_path / "old", "20.10.24")
    with pytest.raises(ClientError) as caught:
        choose(tmp_path / "old", facts=facts_from({"Version": "19.03.15"}, {}))
    assert caught.value.code == "engine-too-old"


@pytest.mark.engine
def test_the_clients_of_this_machine_with_a_trap_first(tmp_path: Path, endpoint: Endpoint, facts: EngineFacts) -> None:
    install(tmp_path, "28.2.2")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    chosen = find_build_client(endpoint, facts, {**os.environ, "PATH": path})
    assert chosen.path != tmp_path / "docker"
    assert chosen == find_build_client(endpoint, facts)
