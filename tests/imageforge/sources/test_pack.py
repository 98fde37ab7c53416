from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageforge.sources import Ignore, SourceFailed, SourceRefused, checkout, pack, tree_digest, unpack
from tests.imageforge.sources.conftest import LOCAL, GitServer, commit, git


def packed(folder: Path, dockerfile: Path | None = None) -> dict[str, tarfile.TarInfo]:
    out = io.BytesIO()
    pack(folder, out, dockerfile=dockerfile)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        return {info.name: info for info in tar.getmembers()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context with something of each kind."""
    folder = tmp_path / "context"
    for name in (
        "Dockerfile",
        "imageforge.toml",
        "src/a.py",
        "src/b.py",
        ".git/HEAD",
        "vendor/lib/.git",
        "vendor/lib/x",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "run").write_text("#!/bin/sh")
    (folder / "run").chmod(0o711)
    (folder / "link").symlink_to("src/a.py")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(folder / "sock"))
    return folder


def test_what_is_in_and_how(folder: Path) -> None:
    out = io.BytesIO()
    got = pack(folder, out)
    infos = packed(folder)
    assert list(infos) == [
        "Dockerfile", "empty", "imageforge.toml", "link", "run", "src", "src/a.py", "src/b.py", "vendor",
        "vendor/lib", "vendor/lib/x",
    ]  # fmt: skip
    assert {info.mode for name, info in infos.items() if info.isreg() and name != "run"} == {0o644}
    assert infos["run"].mode == 0o755
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in infos.values()} == {(0, 0, "", "", 0)}
    assert infos["link"].linkname == "src/a.py"
    data = out.getvalue()
    assert (got.files, got.bytes) == (7, len(data))
    assert got.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert data[4:8] == bytes(4)


def test_the_same_content_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    pack(folder, first)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", folder, copy], check=True)
    for path in copy.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o700 if path.name == "run" else 0o600)
            os.utime(path, (5, 5))
    pack(copy, second)
    assert first.getvalue() == second.getvalue()


def test_dockerignore_leaves_out_but_not_what_is_needed(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!src\n**/b.py\n")
    assert list(packed(folder)) == [".dockerignore", "Dockerfile", "imageforge.toml", "src", "src/a.py"]


def test_a_folder_that_is_out_comes_with_what_is_in_below(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!src/b.py\n")
    assert list(packed(folder)) == [".dockerignore", "Dockerfile", "imageforge.toml", "src", "src/b.py"]


def test_a_dockerfile_inside(folder: Path) -> None:
    (folder / "docker").mkdir()
    (folder / "docker/prod").write_text("FROM scratch")
    (folder / "docker/prod.dockerignore").write_text("*\n")
    expected = ["Dockerfile", "docker", "docker/prod", "docker/prod.dockerignore", "imageforge.toml"]
    assert list(packed(folder, Path("docker/prod"))) == expected
    assert list(packed(folder, folder / "docker/prod")) == expected


def test_a_dockerfile_from_outside(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.Dockerfile"
    outside.write_text("FROM outside")
    (tmp_path / "elsewhere.Dockerfile.dockerignore").write_text("*\n!src/a.py\n")
    (folder / ".imageforge").mkdir()
    (folder / ".imageforge/Dockerfile").write_text("another")
    out = io.BytesIO()
    pack(folder, out, dockerfile=outside)
    (tmp_path / "x.tgz").write_bytes(out.getvalue())
    unpack(tmp_path / "x.tgz", tmp_path / "out")
    there = tmp_path / "out"
    assert (there / ".imageforge/Dockerfile").read_text() == "FROM outside"
    again = Ignore.read(there, Path(".imageforge/Dockerfile"))
    assert (again.excludes("src/b.py"), again.excludes("src/a.py")) == (True, False)
    assert sorted(path.name for path in there.iterdir()) == [".imageforge", "Dockerfile", "imageforge.toml", "src"]


def test_a_dockerfile_that_is_nowhere(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed) as caught:
        pack(folder, io.BytesIO(), dockerfile=tmp_path / "absent")
    assert caught.value.code == "context-unreadable"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "src/../../x"])
def test_a_link_that_leads_out_is_told_before_the_upload(folder: Path, target: str) -> None:
    (folder / "bad").symlink_to(target)
    with pytest.raises(SourceRefused) as caught:
        pack(folder, io.BytesIO())
    assert caught.value.code == "archive-traversal"
    (folder / ".dockerignore").write_text("bad\n")
    assert "bad" not in packed(folder)


def test_a_file_that_shrinks_while_it_is_packed(folder: Path) -> None:
    (folder / "src/a.py").write_bytes(os.urandom(3 << 20))

    class Shrinking(io.BytesIO):
        def write(self, data: object) -> int:
            if self.tell() > 1000:
                os.truncate(folder / "src/a.py", 10)
            return super().write(data)  # type: ignore[arg-type]

    with pytest.raises(SourceFailed) as caught:
        pack(folder, Shrinking())
    assert caught.value.code == "context-changed"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed) as caught:
        pack(tmp_path / "absent", io.BytesIO())
    assert caught.value.code == "context-unreadable"


def test_memory_does_not_grow_with_the_context(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    with (folder / "large").open("wb") as file:
        file.truncate(200 << 20)
    for number in range(2000):
        (folder / str(number)).touch()
    tracemalloc.start()
    with Path(os.devnull).open("wb") as out:
        pack(folder, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_the_package_can_be_imported_without_unix() -> None:
    """pwd, grp, fcntl and resource are not on Windows, and nothing here may want them."""
    code = (
        "import sys\n"
        "for name in ('pwd', 'grp', 'fcntl', 'resource', 'termios'): sys.modules[name] = None\n"
        "import imageforge.sources"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkout_an_archive_and_the_folder_are_the_same_tree(
    git_server: GitServer, work: Path, tmp_path: Path
) -> None:
    (work / ".dockerignore").write_text("build\n")
    commit(work, "ignore")
    url = git_server.publish(work)
    (work / "build").mkdir()
    (work / "build/output").write_text("not in git")
    expected = tree_digest(work, ignore=Ignore.read(work))
    with (tmp_path / "x.tgz").open("wb") as out:
        pack(work, out)
    unpack(tmp_path / "x.tgz", tmp_path / "unpacked")
    checkout(url, "main", None, tmp_path / "checked", policy=LOCAL)
    (tmp_path / "git.tar").write_bytes(
        subprocess.run(["git", "archive", "HEAD"], cwd=work, capture_output=True, check=True).stdout
    )
    unpack(tmp_path / "git.tar", tmp_path / "exported")
    for name in ("unpacked", "checked", "exported"):
        assert tree_digest(tmp_path / name, ignore=None) == expected
        assert tree_digest(tmp_path / name, ignore=Ignore.read(tmp_path / name)) == expected
    assert tree_digest(work, ignore=None) != expected
    assert git(work, "status", "--porcelain")


def test_what_the_digest_sees(folder: Path) -> None:
    def digest() -> str:
        return tree_digest(folder, ignore=None)

    seen = [digest()]
    os.utime(folder / "run", (1, 1))
    (folder / "run").chmod(0o755)
    (folder / ".git/HEAD").write_text("other")
    assert digest() == seen[0]
    (folder / "run").chmod(0o644)
    seen.append(digest())
    (folder / "run").write_text("other")
    seen.append(digest())
    (folder / "run").rename(folder / "ran")
    seen.append(digest())
    (folder / "link").unlink()
    (folder / "link").symlink_to("src/b.py")
    seen.append(digest())
    (folder / "link").unlink()
    (folder / "link").write_text("src/b.py")
    seen.append(digest())
    (folder / "empty").rmdir()
    seen.append(digest())
    assert len(set(seen)) == len(seen)
    assert all(each.startswith("sha256:") for each in seen)


def test_the_digest_cannot_be_confused_by_names(tmp_path: Path) -> None:
    for name, files in {"a": {"x": "y", "z": ""}, "b": {"x": "", "z": "y"}, "c": {"xz": "y"}}.items():
        for file, text in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(text)
    assert len({tree_digest(tmp_path / name, ignore=None) for name in "abc"}) == 3


def test_a_tree_that_is_too_deep(tmp_path: Path) -> None:
    (tmp_path / "/".join(["d"] * 250)).mkdir(parents=True)
    with pytest.raises(SourceRefused) as caught:
        tree_digest(tmp_path, ignore=None)
    assert caught.value.code == "context-too-deep"


PART = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=50
)
TAKEN = (".", "..", ".git", ".dockerignore", "Dockerfile")
PARTS = PART.filter(lambda part: part not in TAKEN and len(part.encode()) < 200)
FILES = st.tuples(st.binary(max_size=2000), st.booleans())
TREES = st.dictionaries(st.lists(PARTS, min_size=1, max_size=4).map("/".join), FILES, min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_unpacking_gives_what_was_packed(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, tuple[bytes, bool]]
) -> None:
    place = tmp_path_factory.mktemp("x")
    folder = place / "in"
    folder.mkdir()
    for name, (data, executable) in tree.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError:  # a file where another name has a folder
            continue
        path.chmod(0o755 if executable else 0o644)
    (folder / "Dockerfile").write_text("FROM scratch")
    with (place / "x.tgz").open("wb") as out:
        got = pack(folder, out)
    back = unpack(place / "x.tgz", place / "out")
    assert back.files == got.files

    def contents(root: Path) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in root.rglob("*")
        }

    assert contents(place / "out") == contents(folder)
    assert tree_digest(place / "out", ignore=None) == tree_digest(folder, ignore=Ignore.read(folder))
    again = io.BytesIO()
    assert pack(place / "out", again) == got


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_text("x")
    with (tmp_path / "x.tgz").open("wb") as out:
        pack(folder, out)
    unpack(tmp_path / "x.tgz", tmp_path / "out")
    assert tree_digest(tmp_path / "out", ignore=None) == tree_digest(folder, ignore=None)


def test_gnu_tar_reads_it(folder: Path, tmp_path: Path) -> None:
    (folder / ("long" * 40)).write_text("x")
    with (tmp_path / "x.tgz").open("wb") as out:
        pack(folder, out)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "x.tgz", "-C", tmp_path / "out"], check=True)
    assert tree_digest(tmp_path / "out", ignore=None) == tree_digest(folder, ignore=None)
    assert gzip.decompress((tmp_path / "x.tgz").read_bytes()).endswith(bytes(1024))
