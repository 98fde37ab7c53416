"""Build contexts and Dockerfiles that cannot be used, and where a Dockerfile may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.context import candidates, check_context
from builders.errors import ContextError

DOCKERFILE = Path("Dockerfile")


def test_a_missing_context(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        check_context(tmp_path / "none", DOCKERFILE)
    assert caught.value.code == "context-missing"


def test_a_context_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM x")
    with pytest.raises(ContextError) as caught:
        check_context(path, DOCKERFILE)
    assert caught.value.code == "context-not-a-directory"
    assert str(tmp_path) in (caught.value.hint or "")


def test_a_missing_dockerfile_names_what_could_be_meant(tmp_path: Path) -> None:
    for name in (
        "docker/Dockerfile.web",
        "Containerfile",
        "app.Dockerfile",
        "a/b/c/Dockerfile",
        "node_modules/Dockerfile",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("FROM x")
    (tmp_path / "Dockerfile.dockerignore").write_text("x")
    with pytest.raises(ContextError) as caught:
        check_context(tmp_path, DOCKERFILE)
    assert caught.value.code == "dockerfile-missing"
    assert candidates(tmp_path) == ["Containerfile", "app.Dockerfile", "docker/Dockerfile.web"]
    assert "Containerfile, app.Dockerfile, docker/Dockerfile.web" in (caught.value.hint or "")


def test_a_missing_dockerfile_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        check_context(tmp_path, DOCKERFILE)
    assert "write one" in (caught.value.hint or "")


def test_a_dockerfile_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").mkdir()
    with pytest.raises(ContextError, match="it is a directory") as caught:
        check_context(tmp_path, DOCKERFILE)
    assert caught.value.code == "dockerfile-missing"


def test_the_context_comes_before_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, elsewhere = tmp_path / "context", tmp_path / "elsewhere"
    for folder in (context, elsewhere):
        folder.mkdir()
        (folder / "Dockerfile").write_text("FROM x")
    (elsewhere / "Other").write_text("FROM y")
    monkeypatch.chdir(elsewhere)
    assert check_context(context, DOCKERFILE) == (context, context / "Dockerfile")
    assert check_context(context, Path("Other")) == (context, elsewhere / "Other")
    assert check_context(context, elsewhere / "Dockerfile") == (context, elsewhere / "Dockerfile")
