"""A backup of what runs, and a home that is brought back from nothing but that file."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Forge
from tests.e2e.service import DOCKERFILE, Repository, Service, write_app

pytestmark = pytest.mark.engine
SECRET = "a-value-that-nobody-else-has-4711"


def test_a_home_is_brought_back_to_serving(own_forge: Forge, tmp_path: Path) -> None:
    forge = own_forge
    forge.ok("up")
    service = Service(forge)
    repository = Repository(tmp_path / "repository")
    write_app(repository.folder, "one")
    repository.commit("first")
    remote = f"http://x:{service.token}@127.0.0.1:{forge.api_port}/git/shop.git"
    repository.git("push", remote, "main")
    write_app(repository.folder, "two")
    commit = repository.commit("second")
    repository.git("push", remote, "main")
    forge.ok("env", "set", "shop", "GREETING=hello")
    value = tmp_path / "value"
    value.write_text(SECRET)
    forge.ok("secret", "set", "shop", "TOKEN", "--file", value)
    assert forge.get("shop") == (200, "two hello")

    file, keyless = tmp_path / "all.tar", tmp_path / "keyless.tar"
    made = forge.ok("backup", file, "--with-key")
    assert "1 repositories" in made.err + made.out
    assert (file.stat().st_mode & 0o777) == 0o600
    forge.ok("backup", keyless)
    with tarfile.open(keyless) as tar:
        assert not [name for name in tar.getnames() if name.startswith("keys/")]
    for written in (file, keyless):
        assert SECRET.encode() not in written.read_bytes()
    again = forge.run("backup", file)
    assert (again.code, "error[file-exists]" in again.err) == (3, True)
    used = forge.run("restore", file)
    assert (used.code, "error[home-not-empty]" in used.err) == (3, True)
    assert forge.get("shop") == (200, "two hello"), "all of it beside what runs"

    forge.ok("down", "--purge", "--yes")
    shutil.rmtree(forge.home, ignore_errors=True)
    restored = forge.ok("restore", file)
    assert "restore  " in restored.out + restored.err
    assert forge.get("shop") == (200, "two hello")
    assert commit in repository.git("ls-remote", remote).stdout
    (release, *_) = forge.ok("releases", "shop", "-o", "json").json
    inspected = forge.ok("image", "inspect", f"docker://{release['image']}", "-o", "json").json
    assert inspected["attached"].keys() == {"lint", "bill", "provenance"}
    forge.ok("rollback", "shop", "1")
    assert forge.get("shop")[1].startswith("one"), "the images of earlier releases are back too"

    # The key came along: what it opens reaches a build.
    recipe = DOCKERFILE.replace(
        "USER", "RUN --mount=type=secret,id=TOKEN test $(wc -c < /run/secrets/TOKEN) = " + str(len(SECRET)) + "\nUSER"
    )
    write_app(repository.folder, "three", dockerfile=recipe)
    repository.commit("third")
    repository.git("push", remote, "main")
    assert forge.get("shop")[1].startswith("three")
