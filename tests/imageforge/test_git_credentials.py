"""The passwords of git remotes: those of this home go with it, and no others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imageforge.client.git_credentials import GitCredentials
from imageforge.config import Home, Settings
from imageforge.stack.purge import inventory, purge
from imageforge.store import Database, Scope, Tokens

URL = "http://127.0.0.1:8701/git"
OTHER = "http://token:other-word@127.0.0.1%3a8701/git/other.git"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "imageforge" / "git-credentials"


def remember(file: Path, app: str, password: str) -> None:
    """As `remote add` has git keep one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    entry = f"protocol=http\nhost=127.0.0.1:8701\npath=git/{app}.git\nusername=token\npassword={password}\n\n"
    command = ["git", "credential-store", f"--file={file}", "store"]
    subprocess.run(command, input=entry, text=True, check=True)


def words(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_only_those_with_a_password_that_is_meant_go(file: Path) -> None:
    remember(file, "shop", "a/b c%")
    remember(file, "other", "other-word")
    with file.open("a") as handle:
        handle.write("what git would not read\n")
    seen: list[str] = []
    credentials = GitCredentials.of_user()
    assert credentials.count(lambda password: bool(seen.append(password)) or password == "a/b c%") == 1
    assert seen == ["other-word", "a/b c%"]
    assert len(words(file)) == 3, "counting changes nothing"
    assert credentials.forget(lambda password: password == "a/b c%") == 1
    assert words(file) == [OTHER, "what git would not read"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert credentials.forget(lambda password: password == "other-word") == 1
    assert words(file) == ["what git would not read"]


def test_an_empty_file_goes_and_a_missing_one_is_none(file: Path) -> None:
    credentials = GitCredentials.of_user()
    assert credentials.forget(lambda _: True) == 0
    assert not file.parent.exists()
    remember(file, "shop", "word")
    assert credentials.forget(lambda _: True) == 1
    assert not file.parent.exists(), "nothing else was in the folder"


def test_a_file_that_git_writes_at_the_moment_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageforge.client.git_credentials.LOCK_SECONDS", 0.1)
    remember(file, "shop", "word")
    Path(f"{file}.lock").touch()
    with pytest.raises(OSError, match="git-credentials"):
        GitCredentials.of_user().forget(lambda _: True)
    assert len(words(file)) == 1


def test_a_purge_takes_those_of_its_home_and_says_so(file: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with Database.at(home.store) as database:
        tokens = Tokens(database)
        _, mine = tokens.create("git remote of shop", Scope.DEPLOY, app="shop")
        revoked, old = tokens.create("git remote of old", Scope.DEPLOY, app="old")
        tokens.revoke(revoked.id)
    remember(file, "shop", mine)
    remember(file, "old", old)
    remember(file, "other", "other-word")
    (home.state / "engine.json").write_text('{"private": true}')  # its images would go with its folder
    settings = Settings()
    told = f"2 git credentials of this home in {file}"
    assert told in list(inventory(home, settings))
    lines = list(purge(home, settings))
    assert f"{told} removed" in lines
    assert words(file) == [OTHER]
    assert mine not in "".join(lines)
