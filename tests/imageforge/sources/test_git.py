from __future__ import annotations

import datetime
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from imageforge.errors import Cancelled, ForgeError
from imageforge.sources import (
    GitCredentials,
    GitPolicy,
    SourceFailed,
    SourceRefused,
    checkout,
    ls_remote,
    parse_git_url,
    tree_digest,
)
from imageforge.sources import git as git_module
from tests.imageforge.sources.conftest import LOCAL, GitServer, commit, git

TOKEN = "s3cret/t+ken"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder whose emptiness after a failure is looked at."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_ls_remote_knows_branches_tags_and_full_refs(git_server: GitServer, work: Path) -> None:
    url = git_server.publish(work)
    first, second = git(work, "rev-parse", "v1"), git(work, "rev-parse", "HEAD")
    expected = {
        "main": second,
        "HEAD": second,
        "feature/x": first,
        "v1": first,
        "v1-signed": first,
        "refs/tags/v1-signed": first,
        "refs/heads/main": second,
    }
    assert {ref: ls_remote(url, ref, policy=LOCAL) for ref in expected} == expected


def test_a_branch_comes_before_a_tag_of_its_name(git_server: GitServer, work: Path) -> None:
    git(work, "tag", "main", "v1")
    url = git_server.publish(work)
    assert ls_remote(url, "main", policy=LOCAL) == git(work, "rev-parse", "refs/heads/main")


@pytest.mark.parametrize("ref", ["absent", "x", "refs/heads/absent", "MAIN"])
def test_a_ref_that_is_not_there(git_server: GitServer, work: Path, out: Path, ref: str) -> None:
    url = git_server.publish(work)
    with pytest.raises(SourceFailed) as caught:
        ls_remote(url, ref, policy=LOCAL)
    assert caught.value.code == "git-ref-missing"
    with pytest.raises(SourceFailed) as caught:
        checkout(url, ref, None, out / "x", policy=LOCAL)
    assert caught.value.code == "git-ref-missing"
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch", "-x", "a..b", "a b", "a\nb", "", "refs/heads/*", "@{1}", "a.lock"]
)
def test_refs_that_git_allows_not(git_server: GitServer, ref: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        ls_remote(git_server.url("app.git"), ref, policy=LOCAL)
    assert caught.value.code == "git-ref-invalid"
    assert not git_server.requests


def test_checkout_of_a_tip(git_server: GitServer, work: Path, out: Path) -> None:
    url = git_server.publish(work)
    got = checkout(url, "main", None, out / "x", policy=LOCAL)
    assert got.commit == git(work, "rev-parse", "HEAD")
    assert got.message == "Second\n\nwith a body"
    assert got.committed_at == datetime.datetime(2024, 3, 1, 10, tzinfo=datetime.UTC)
    assert got.folder == out / "x"
    assert sorted(path.name for path in got.folder.rglob("*")) == ["Dockerfile", "link", "new.txt", "run.sh", "sub"]
    assert os.access(got.folder / "run.sh", os.X_OK)
    assert not os.access(got.folder / "new.txt", os.X_OK)
    assert (got.folder / "sub/link").readlink() == Path("../Dockerfile")
    assert tree_digest(got.folder, ignore=None) == tree_digest(work, ignore=None)
    assert [path.name for path in out.iterdir()] == ["x"]


def test_checkout_of_an_annotated_tag(git_server: GitServer, work: Path, out: Path) -> None:
    got = checkout(git_server.publish(work), "v1-signed", None, out / "x", policy=LOCAL)
    assert got.commit == git(work, "rev-parse", "v1")


def test_a_tag_of_something_else_than_a_commit(git_server: GitServer, work: Path, out: Path) -> None:
    git(work, "tag", "blob", "HEAD:Dockerfile")
    with pytest.raises(ForgeError) as caught:
        checkout(git_server.publish(work), "blob", None, out / "x", policy=LOCAL)
    assert caught.value.code == "git-commit-missing"


@pytest.mark.parametrize("version0", [False, True])
def test_checkout_of_a_commit_that_is_no_tip(git_server: GitServer, work: Path, out: Path, version0: bool) -> None:
    """Version 0 gives no bare commits, so there the history of the ref is searched."""
    wanted = git(work, "rev-parse", "HEAD")
    for number in range(60):
        commit(work, f"later {number}")
    url = git_server.publish(work)
    git_server.version0 = version0
    got = checkout(url, "main", wanted, out / "x", policy=LOCAL)
    assert (got.commit, got.message.splitlines()[0]) == (wanted, "Second")
    assert len([path for path in git_server.requests if path.endswith("git-upload-pack")]) >= (3 if version0 else 1)


@pytest.mark.parametrize("version0", [False, True])
def test_a_commit_that_is_not_there(git_server: GitServer, work: Path, out: Path, version0: bool) -> None:
    url = git_server.publish(work)
    git_server.version0 = version0
    with pytest.raises(SourceFailed) as caught:
        checkout(url, "main", "1" * 40, out / "x", policy=LOCAL)
    assert caught.value.code == "git-commit-missing"
    assert not list(out.iterdir())


@pytest.mark.parametrize("name", ["abc", "HEAD", "--x", "G" * 40])
def test_a_commit_is_given_by_its_whole_name(git_server: GitServer, out: Path, name: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.url("app.git"), "main", name, out / "x", policy=LOCAL)
    assert caught.value.code == "git-ref-invalid"


def test_no_repository(git_server: GitServer) -> None:
    with pytest.raises(SourceFailed) as caught:
        ls_remote(git_server.url("absent.git"), "main", policy=LOCAL)
    assert caught.value.code == "git-not-found"


def test_no_access_sounds_like_no_repository(git_server: GitServer, work: Path) -> None:
    url = git_server.publish(work)
    with pytest.raises(SourceFailed) as absent:
        ls_remote(git_server.url("absent.git"), "main", policy=LOCAL)
    git_server.token = TOKEN
    with pytest.raises(SourceFailed) as closed:
        ls_remote(url, "main", policy=LOCAL)
    assert (closed.value.code, closed.value.message, closed.value.hint) == (
        absent.value.code,
        absent.value.message,
        absent.value.hint,
    )


def test_a_token_opens_the_repository(git_server: GitServer, work: Path, out: Path) -> None:
    url = git_server.publish(work)
    git_server.token = TOKEN
    credentials = GitCredentials(token=TOKEN, token_user="x-access-token")
    assert ls_remote(url, "main", policy=LOCAL, credentials=credentials) == git(work, "rev-parse", "HEAD")
    assert checkout(url, "main", None, out / "x", policy=LOCAL, credentials=credentials).message
    assert [path.name for path in out.iterdir()] == ["x"]


def test_a_wrong_token(git_server: GitServer, work: Path) -> None:
    url = git_server.publish(work)
    git_server.token = TOKEN
    with pytest.raises(SourceFailed) as caught:
        ls_remote(url, "main", policy=LOCAL, credentials=GitCredentials(token="wrong-one"))
    assert caught.value.code == "git-auth-failed"
    assert "wrong-one" not in str(caught.value)


def test_a_token_is_not_seen_among_the_processes(git_server: GitServer, work: Path) -> None:
    url = git_server.publish(work)
    git_server.hold, cancelled = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def look() -> None:
        git_server.reached.wait(30)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(git_server.port).encode() in line:
                seen.append(line)
        cancelled.set()

    thread = threading.Thread(target=look)
    thread.start()
    with pytest.raises(Cancelled):
        ls_remote(url, "main", policy=LOCAL, credentials=GitCredentials(token=TOKEN), cancelled=cancelled)
    thread.join()
    assert seen
    assert not any(TOKEN.encode() in line for line in seen)


def test_a_redirect_is_named_and_not_followed(git_server: GitServer, work: Path) -> None:
    url = git_server.publish(work)
    git_server.redirect = "http://user:pw@169.254.169.254/new/app.git/info/refs?service=git-upload-pack"
    with pytest.raises(SourceRefused) as caught:
        ls_remote(url, "main", policy=LOCAL)
    assert caught.value.code == "git-redirected"
    assert "http://***@169.254.169.254/new/app.git" in caught.value.message
    assert "pw" not in caught.value.message
    assert len(git_server.requests) == 1


def test_a_host_that_hangs_is_given_up(git_server: GitServer, out: Path) -> None:
    git_server.hold = threading.Event()
    with pytest.raises(SourceFailed) as caught:
        checkout(git_server.url("app.git"), "main", None, out / "x", policy=LOCAL, timeout=1)
    assert caught.value.code == "git-timeout"
    assert not list(out.iterdir())
    assert not _processes(str(git_server.port))


def test_cancelling_ends_git_and_its_children(git_server: GitServer, out: Path) -> None:
    git_server.hold, cancelled = threading.Event(), threading.Event()
    children: list[int] = []

    def cancel() -> None:
        git_server.reached.wait(30)
        children.extend(_processes(str(git_server.port)))
        cancelled.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Cancelled) as caught:
        checkout(git_server.url("app.git"), "main", None, out / "x", policy=LOCAL, cancelled=cancelled)
    thread.join()
    assert caught.value.code == "git-cancelled"
    assert len(children) >= 2
    assert not list(out.iterdir())
    for process in children:
        _gone(process)


def _processes(word: str) -> list[int]:
    """Those git processes that have the word in their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line and b"git" in line:
            found.append(int(process.name))
    return found


def _gone(process: int) -> None:
    """Wait for the end of a process that is not ours to wait for."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    with os.fdopen(handle) as opened:
        import select

        assert select.select([opened], [], [], 10)[0]


def test_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = parse_git_url(f"http://127.0.0.1:{taken.getsockname()[1]}/x.git", LOCAL)
        with pytest.raises(SourceFailed) as caught:
            ls_remote(url, "main", policy=LOCAL)
    assert caught.value.code == "git-unreachable"


def test_a_private_host_is_refused_before_anything_is_sent(git_server: GitServer, out: Path) -> None:
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.url("app.git"), "main", None, out / "x", policy=GitPolicy(allow_http=True))
    assert caught.value.code == "git-host-refused"
    assert not git_server.requests


def test_the_checked_address_is_the_one_that_is_used(
    git_server: GitServer, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves nowhere, so git can only have got there by what was pinned."""
    git_server.publish(work)
    monkeypatch.setattr(git_module, "check_host", lambda url, policy: ("127.0.0.1",))
    url = git_server.url("app.git", host="code.invalid")
    assert ls_remote(url, "main", policy=LOCAL) == git(work, "rev-parse", "HEAD")


def test_more_than_the_limit_is_not_fetched(git_server: GitServer, work: Path, out: Path) -> None:
    (work / "large").write_bytes(os.urandom(3 << 20))
    commit(work, "large")
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.publish(work), "main", None, out / "x", policy=LOCAL, max_bytes=1 << 20)
    assert caught.value.code == "git-too-big"
    assert not list(out.iterdir())


def test_more_than_the_limit_is_not_written(git_server: GitServer, work: Path, out: Path) -> None:
    (work / "large").write_bytes(bytes(30 << 20))
    commit(work, "compresses well")
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.publish(work), "main", None, out / "x", policy=LOCAL, max_bytes=1 << 20)
    assert caught.value.code == "git-too-big"
    assert not list(out.iterdir())


def test_a_bomb_of_trees(git_server: GitServer, work: Path, out: Path) -> None:
    """Ten trees, each with ten times the one before: 10^10 files in a few kilobytes."""
    blob = git(work, "hash-object", "-w", "--stdin", data=b"x")
    tree = git(work, "mktree", data="".join(f"100644 blob {blob}\tf{n}\n" for n in range(10)).encode())
    for _ in range(9):
        tree = git(work, "mktree", data="".join(f"040000 tree {tree}\td{n}\n" for n in range(10)).encode())
    bomb = git(work, "commit-tree", tree, "-m", "bomb")
    git(work, "update-ref", "refs/heads/bomb", bomb)
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.publish(work), "bomb", None, out / "x", policy=LOCAL, max_bytes=32 << 20)
    assert caught.value.code == "git-too-big"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "sub/../../x"])
def test_links_that_lead_out_are_refused(git_server: GitServer, work: Path, out: Path, target: str) -> None:
    (work / "bad").symlink_to(target)
    commit(work, "link")
    with pytest.raises(SourceRefused) as caught:
        checkout(git_server.publish(work), "main", None, out / "x", policy=LOCAL)
    assert caught.value.code == "archive-traversal"
    assert not list(out.iterdir())


def test_submodules_filters_and_hooks_stay_idle(
    git_server: GitServer, work: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by the caller's own configuration and environment."""
    mark = tmp_path / "ran"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = touch {mark}\n[core]\n\tfsmonitor = touch {mark}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.evil.smudge")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {mark}")
    monkeypatch.setenv("GIT_PROXY_COMMAND", f"touch {mark}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    (work / ".gitattributes").write_text("* filter=evil\n")
    (work / ".gitmodules").write_text('[submodule "m"]\n\tpath = m\n\turl = ext::sh -c touch% ran\n')
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},m")
    git(work, "add", ".gitattributes", ".gitmodules")
    git(work, "commit", "--quiet", "-m", "submodule")
    got = checkout(git_server.publish(work), "main", None, out / "x", policy=LOCAL)
    assert (got.folder / "Dockerfile").read_text() == "FROM scratch\n"
    assert not any((got.folder / "m").iterdir())
    assert not mark.exists()


def test_the_folder_must_be_new(git_server: GitServer, work: Path, out: Path) -> None:
    (out / "x").mkdir()
    (out / "x" / "mine").touch()
    with pytest.raises(SourceFailed) as caught:
        checkout(git_server.publish(work), "main", None, out / "x", policy=LOCAL)
    assert caught.value.code == "git-unwritable"
    assert (out / "x" / "mine").exists()


def test_git_is_not_installed(git_server: GitServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFailed) as caught:
        ls_remote(git_server.url("app.git"), "main", policy=LOCAL)
    assert caught.value.code == "git-missing"


def test_git_is_too_old(git_server: GitServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho git version 2.30.2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{Path(shutil.which('sh') or '/bin/sh').parent}")
    with pytest.raises(SourceFailed) as caught:
        ls_remote(git_server.url("app.git"), "main", policy=LOCAL)
    assert (caught.value.code, "too old" in caught.value.message) == ("git-missing", True)


def test_a_repository_by_sha256(git_server: GitServer, tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "modern"
    folder.mkdir()
    git(folder, "init", "--quiet", "--object-format=sha256")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    name = commit(folder, "First")
    git(git_server.root, "init", "--quiet", "--bare", "--object-format=sha256", "modern.git")
    git(folder, "push", "--quiet", str(git_server.root / "modern.git"), "main")
    got = checkout(git_server.url("modern.git"), "main", None, out / "x", policy=LOCAL)
    assert (got.commit, len(name)) == (name, 64)
