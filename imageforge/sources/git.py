"""A git repository as a source: the commit that a name means, and the files of a commit."""

from __future__ import annotations

import datetime
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.git_environment import GitCredentials, git_environment, remote
from imageforge.sources.git_failure import failure
from imageforge.sources.git_process import GitProcess, GitResult
from imageforge.sources.git_ref import candidates, check_commit, check_ref
from imageforge.sources.git_url import GitPolicy, GitUrl, check_host
from imageforge.sources.links import refuse_escaping_links
from imageforge.sources.tree import MAX_DEPTH

_OLDEST = (2, 37)
"""http.curloptResolve came with git 2.37; an older one would take it for a word without meaning, and not say so."""
_DEPTHS = (50, 500, 2147483647)
_TIP = "refs/imageforge/tip"
_LISTING = 64 << 20
"""Bytes that a list of refs may have: a million of them."""
_SHOWN = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """The files of a commit in a folder, without `.git`. `committed_at` is in UTC."""

    commit: str
    committed_at: datetime.datetime
    message: str
    folder: Path


@dataclass(frozen=True, slots=True)
class _Session:
    """git, bound to one repository."""

    git: GitProcess
    remote: str
    credentials: GitCredentials

    def run(self, *arguments: str) -> GitResult:
        """Run git; what it fails of is raised."""
        result = self.git.run(*arguments)
        if result.code:
            raise self.failed(result)
        return result

    def text(self, *arguments: str) -> str:
        """The beginning of what git prints."""
        with self.run(*arguments).output.open("rb") as output:
            return output.read(_SHOWN).decode("utf-8", "replace")

    def failed(self, result: GitResult) -> SourceFailed | SourceRefused:
        """What a result means."""
        return failure(self.git.subject, result.errors, self.git.environment.home, self.credentials)

    @property
    def repository(self) -> str:
        """The bare repository of this session."""
        return f"--git-dir={self.git.environment.home / 'repository'}"


def ls_remote(
    url: GitUrl,
    ref: str,
    *,
    policy: GitPolicy,
    credentials: GitCredentials | None = None,
    timeout: float = 30,
    cancelled: threading.Event | None = None,
) -> str:
    """The commit of a branch, a tag (the commit it was put on) or a full ref, in this order. `timeout` in seconds.

    Raises SourceRefused and SourceFailed with one of the codes in the package's README, and Cancelled.
    """
    check_ref(ref)
    with _session(url, policy, credentials, timeout, cancelled, _LISTING, None) as session:
        return _resolved(session, ref)[1]


def checkout(
    url: GitUrl,
    ref: str,
    commit: str | None,
    into: Path,
    *,
    policy: GitPolicy,
    credentials: GitCredentials | None = None,
    timeout: float = 600,
    cancelled: threading.Event | None = None,
    max_bytes: int = 2 << 30,
    max_files: int = 200_000,
) -> Checkout:
    """Put the files of the ref's tip, or of the commit, into the folder `into`, which is made.

    `max_bytes` holds twice: for what is fetched, and for the files. A commit is believed to be the repository's if
    the server gives it; some hosts also give those of forks, so take it from somebody you trust. Raises as
    `ls_remote` does; nothing is left of `into` then.
    """
    check_ref(ref)
    if commit is not None:
        check_commit(commit)
    with _session(url, policy, credentials, timeout, cancelled, max_bytes, into.parent) as session:
        found = _fetch_commit(session, ref, commit) if commit else _fetch_tip(session, ref)
        _check_listing(session, found, max_bytes, max_files)
        seconds, _, message = session.text(
            session.repository, "log", "-1", "--no-show-signature", "--format=%ct%n%B", found, "--"
        ).partition("\n")
        try:
            into.mkdir(mode=0o755)
        except OSError as error:
            raise SourceFailed("git-unwritable", str(into), str(error), hint="name a new folder") from error
        try:
            work = (session.repository, f"--work-tree={into.resolve()}", "-c", "core.bare=false")
            session.run(*work, "read-tree", found)
            session.run(*work, "checkout-index", "--all", "--force")
            refuse_escaping_links(into, session.git.subject)
        except BaseException:
            shutil.rmtree(into)
            raise
    when = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return Checkout(commit=found, committed_at=when, message=message.strip(), folder=into)


@contextmanager
def _session(
    url: GitUrl,
    policy: GitPolicy,
    credentials: GitCredentials | None,
    timeout: float,
    cancelled: threading.Event | None,
    max_bytes: int,
    beside: Path | None,
) -> Iterator[_Session]:
    deadline = time.monotonic() + timeout
    addresses = check_host(url, policy)
    credentials = credentials or GitCredentials()
    # Beside the checkout, as /tmp may be memory.
    try:
        # A git that was killed may still end a last system call in there: no reason to hide why it was killed.
        private = tempfile.TemporaryDirectory(prefix=".imageforge-git-", dir=beside, ignore_cleanup_errors=True)
    except OSError as error:
        raise SourceFailed(
            "git-unwritable", str(beside or ""), str(error), hint="name a folder that is there"
        ) from error
    with private as folder:
        environment = git_environment(
            Path(folder), url=url, addresses=addresses, policy=policy, credentials=credentials
        )
        git = GitProcess(environment, subject=remote(url), deadline=deadline, cancelled=cancelled, max_bytes=max_bytes)
        session = _Session(git, remote(url), credentials)
        _check_version(session)
        yield session


def _check_version(session: _Session) -> None:
    said = session.text("version")
    match = re.search(r"(\d+)\.(\d+)", said)
    if not match or (int(match[1]), int(match[2])) < _OLDEST:
        raise SourceFailed("git-missing", "git", f"{said.strip()} is too old", hint="install git 2.37 or later")


def _resolved(session: _Session, ref: str) -> tuple[str, str]:
    """The full name and the commit."""
    names = candidates(ref)
    peeled = {f"{name}^{{}}": name for name in names}
    result = session.run("ls-remote", "--", session.remote, *names, *peeled)
    found: dict[str, str] = {}
    with result.output.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            commit, _, name = line.rstrip("\n").partition("\t")
            if name in names or name in peeled:
                found[name] = commit
    for name in names:
        if name in found:
            return name, check_commit(found.get(f"{name}^{{}}", found[name]))
    raise _missing_ref(session, ref)


def _fetch_tip(session: _Session, ref: str) -> str:
    name, commit = _resolved(session, ref)
    _start(session, commit)
    session.run(*_fetch(session, 1), f"+{name}:{_TIP}")
    return _commit_of(session, _TIP)


def _fetch_commit(session: _Session, ref: str, commit: str) -> str:
    """Ask for the commit itself; a server that gives only what a name points to is asked for ever more of the ref."""
    _start(session, commit)
    result = session.git.run(*_fetch(session, 1), f"+{commit}:{_TIP}")
    if not result.code:
        return _commit_of(session, _TIP)
    error = session.failed(result)
    if error.code != "git-commit-missing":
        raise error
    name, _ = _resolved(session, ref)
    for depth in _DEPTHS:
        session.run(*_fetch(session, depth), f"+{name}:{_TIP}")
        if not session.git.run(session.repository, "cat-file", "-e", f"{commit}^{{commit}}").code:
            return commit
    raise SourceFailed(
        "git-commit-missing", session.git.subject, f"{ref} has no commit {commit}", hint="push the commit first"
    )


def _start(session: _Session, commit: str) -> None:
    algorithm = "sha256" if len(commit) == 64 else "sha1"
    session.run(session.repository, "init", "--quiet", "--bare", "--template=", f"--object-format={algorithm}")


def _fetch(session: _Session, depth: int) -> tuple[str, ...]:
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", f"--depth={depth}")
    return (session.repository, "fetch", *options, "--", session.remote)


def _commit_of(session: _Session, name: str) -> str:
    result = session.git.run(session.repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if result.code:
        raise SourceFailed("git-commit-missing", session.git.subject, "is not a commit", hint="name a branch or tag")
    return check_commit(result.output.read_text().strip())


def _check_listing(session: _Session, commit: str, max_bytes: int, max_files: int) -> None:
    """Count before anything is written: a few hundred bytes of trees can name billions of files."""
    listing = session.run(session.repository, "ls-tree", "-r", "-l", "-z", "--full-tree", commit).output
    files = size = depth = 0
    with listing.open("rb") as source:
        rest = b""
        while data := source.read(1 << 20):
            *lines, rest = (rest + data).split(b"\0")
            for line in lines:
                head, _, name = line.partition(b"\t")
                claimed = head.split()[3]
                files += 1
                size += int(claimed) if claimed.isdigit() else 0
                depth = max(depth, name.count(b"/"))
    if files > max_files or size > max_bytes or depth > MAX_DEPTH:
        raise SourceRefused(
            "git-too-big",
            session.git.subject,
            f"{files} files of {size} bytes, {depth} folders deep; allowed are {max_files}, {max_bytes}, {MAX_DEPTH}",
            hint="keep large files out of git",
        )


def _missing_ref(session: _Session, ref: str) -> SourceFailed:
    return SourceFailed(
        "git-ref-missing", session.git.subject, f"has no branch or tag {ref}", hint="check the name, and its case"
    )
