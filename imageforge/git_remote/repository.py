"""An app's bare repository."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from imageforge.config import Home
from imageforge.errors import StackError
from imageforge.stack.catalog import python_environment

HOOKS = ("pre-receive", "post-receive")
HOOK = "#!/bin/sh\nexec {python} -I -S {relay} {name} {socket}\n"
RELAY = Path(__file__).with_name("relay.py")
ATTRIBUTES = "* -export-ignore -export-subst\n"
"""`git archive` makes our build contexts, which are to be what a checkout is; these win over a tree's own."""
GIT_SECONDS = 60
BACKEND_NAMES = ("/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend")


def repository(home: Home, app: str, branch: str) -> Path:
    """An app's repository, made if need be, its hooks as this version wants them, `branch` what a clone gets.

    Raises StackError (`git-missing`).
    """
    folder = home.repositories / f"{app}.git"
    if not (folder / "HEAD").exists():
        home.repositories.mkdir(mode=0o700, exist_ok=True)
        _git(home, "init", "--quiet", "--bare", str(folder))
    head = f"ref: refs/heads/{branch}\n"
    if (folder / "HEAD").read_text() != head:
        _git(home, "--git-dir", str(folder), "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    for name in HOOKS:
        words = {"python": sys.executable, "relay": str(RELAY), "name": name, "socket": str(home.hooks_socket)}
        text = HOOK.format(**{key: shlex.quote(word) for key, word in words.items()})
        _write(folder / "hooks" / name, text, mode=0o700)
    _write(folder / "info" / "attributes", ATTRIBUTES, mode=0o600)
    return folder


def tip(home: Home, app: str, branch: str) -> str | None:
    """The commit that a branch of an app's repository points to; None where there is none. Raises StackError
    (`git-missing`, `git-failed`) where git does not say: that is no answer, and the branch may be there."""
    folder = home.repositories / f"{app}.git"
    if not folder.exists():
        return None
    command = ["git", "--git-dir", str(folder), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
    done = _run(home, command)
    if done.returncode not in (0, 1):
        raise StackError("git-failed", shlex.join(command), done.stderr.strip() or f"it ended with {done.returncode}")
    return done.stdout.strip() or None


def environment(home: Home) -> dict[str, str]:
    """What git is run with: nothing of the user's or the system's configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home.repositories),
        "IMAGEFORGE_HOME": str(home.path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
        **python_environment(),
    }


def backend() -> str:
    """The path of git-http-backend. Raises StackError (`git-missing`)."""
    folder = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=False).stdout.strip()
    for candidate in (f"{folder}/git-http-backend", *BACKEND_NAMES):
        if os.access(candidate, os.X_OK):
            return candidate
    raise StackError("git-missing", "git-http-backend", "not installed", hint="apt-get install git")


def _git(home: Home, *arguments: str) -> None:
    done = _run(home, ["git", *arguments])
    if done.returncode:
        raise StackError("git-failed", shlex.join(["git", *arguments]), done.stderr.strip() or "it failed")


def _run(home: Home, command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment(home), capture_output=True, text=True, check=False, timeout=GIT_SECONDS
        )
    except FileNotFoundError as error:
        raise StackError("git-missing", "git", "not installed", hint="apt-get install git") from error
    except subprocess.TimeoutExpired as error:
        raise StackError("git-failed", shlex.join(command), f"no answer after {GIT_SECONDS} s") from error


def _write(file: Path, text: str, *, mode: int) -> None:
    if file.exists() and file.read_text() == text:
        return
    draft = file.with_suffix(f".{os.getpid()}")
    file.parent.mkdir(exist_ok=True)
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(file)
