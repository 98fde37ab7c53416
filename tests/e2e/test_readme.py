"""The README's four ways in, typed as they are written there: each command works, and says what the page says."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLES, ROOT, Forge
from tests.e2e.service import Repository, Service

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

WAYS = ("The command line.", "A git remote.", "Webhooks", "The HTTP API")
ANY = "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command of the page and the lines below it."""

    command: str
    says: tuple[str, ...]


def transcript(way: str) -> list[Step]:
    """The commands of one way in, as README has them."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    section = page.partition("## The four ways in")[2].partition("\n## ")[0]
    (part,) = [part for part in re.split(r"\n(?=\*\*)", section) if part.startswith(f"**{way}")]
    lines = [line[4:] for line in part.splitlines() if line.startswith("    ")]
    steps: list[Step] = []
    while lines:
        line = lines.pop(0)
        if not line.startswith("$ "):
            steps[-1] = Step(command=steps[-1].command, says=(*steps[-1].says, line))
            continue
        command = line[2:]
        while command.endswith("\\"):
            command = f"{command[:-1].rstrip()} {lines.pop(0).strip()}"
        steps.append(Step(command=command, says=()))
    return steps


@dataclass
class Shell:
    """Where the page's commands are typed."""

    service: Service
    folder: Path
    home: Path

    def type(self, command: str) -> list[str]:
        """What it says, on both outputs, without the spaces that align it; it must succeed."""
        forge = self.service.forge
        ports = {"8701": forge.api_port, "8700": forge.http_port}
        command = re.sub(r"\b(870[01])\b", lambda found: str(ports[found[1]]), command)
        environ = {
            **forge.environ,
            "HOME": str(self.home),
            "PATH": f"{self.home}:{os.environ['PATH']}",
            "TOKEN": self.service.token,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}"
        # curl's progress is on a terminal only where there is one.
        return [" ".join(line.split()) for line in re.split(r"[\r\n]+", done.stdout)]

    def follow(self, step: Step, **instead: str) -> str:
        """Type a command of the page, some words of it replaced, and compare."""
        command = step.command
        for word, other in instead.items():
            assert word in command, f"{word} is not in: {command}"
            command = command.replace(word, other)
        said = in_order([line for line in self.type(command) if line])
        missing = unsaid([_replaced(line, instead) for line in step.says], said)
        assert missing is None, "\n".join([f"README of `{step.command}`, not said: {missing}", *said])
        return "\n".join(said)


def pattern(line: str) -> re.Pattern[str]:
    """A line of the page with what differs from run to run left open: numbers and their units, digests, secrets, and
    what is cached. What is pushed depends on what the registry has."""
    text = " ".join(line.split())
    text = re.sub(r"whsec_\w+", "whsec_…", text)
    text = re.sub(r"(sha256:|build-)?\b[0-9a-f]{12,}…?", ANY, text)
    text = re.sub(r"hello-\w+-\w+", ANY, text)
    parts = re.split(r"(…|\d+(?:\.\d+)*|cached| s\b|\bkB\b|\bMB\b)", text)
    unit = "(?:B|kB|MB|GB)"
    open_ = {ANY: ".*", "cached": r"(?:cached|[\d.]+ s)", " s": r"(?: s)?", "kB": unit, "MB": unit}
    shape = "".join(
        open_.get(part) or (r"(?:[\d.]+|cached)" if part[:1].isdigit() else re.escape(part)) for part in parts
    )
    return re.compile(shape.replace("python:" + r"(?:[\d.]+|cached)", r"python:[\d.]+"))


def in_order(lines: list[str]) -> list[str]:
    """The lines with a build's steps by their numbers: those that are cached end in any order."""
    ordered: list[str] = []
    for steps, run in itertools.groupby(lines, lambda line: re.match(r"(remote: )?\[\d+/", line) is not None):
        group = list(run)
        ordered += sorted(group) if steps else group
    return ordered


def _replaced(line: str, instead: dict[str, str]) -> str:
    for word, other in instead.items():
        line = line.replace(word, other)
    return line


def unsaid(page: Sequence[str], said: list[str]) -> str | None:
    """The first line of the page that was not said, or not in its place; `…` alone stands for any lines."""
    left, gap = list(said), False
    for line in page:
        if line.strip() == ANY:
            gap = True
            continue
        if not line.strip() or line.strip() == "remote:":
            continue
        while left and gap and not pattern(line).fullmatch(left[0]):
            left.pop(0)
        while left and left[0] == "remote:":
            left.pop(0)
        if not left or not pattern(line).fullmatch(left[0]):
            return line
        left.pop(0)
        gap = False
    return None if gap or not left else f"nothing of: {left[0]}"


@pytest.fixture(scope="module")
def shell(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    forge.ok("up")
    home = tmp_path_factory.mktemp("newcomer")
    command = home / "imageforge"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m imageforge "$@"\n')
    command.chmod(0o755)
    folder = home / "shop"
    shutil.copytree(EXAMPLES / "01-hello-http", folder)
    settings = folder / "imageforge.toml"
    settings.write_text(settings.read_text().replace('name = "hello"', 'name = "shop"'))
    repository = Repository(folder)
    repository.commit("first")
    yield Shell(service=Service(forge), folder=folder, home=home)
    for app in ("shop", "mirror", "hello"):
        forge.run("apps", "delete", app, "--yes")


def newest(shell: Shell, app: str = "shop") -> str:
    """The number of an app's newest build."""
    builds = shell.service.ask("GET", "/v1/builds", params={"app": app}).json()["builds"]
    return str(builds[0]["id"])


def test_the_command_line(shell: Shell) -> None:
    (deploy,) = transcript("The command line.")
    shell.folder, kept = ROOT, shell.folder
    try:
        shell.follow(deploy)
    finally:
        shell.folder = kept
    assert "hello from" in shell.service.forge.get("hello")[1]


def test_a_git_remote(shell: Shell) -> None:
    add, push = transcript("A git remote.")
    shell.follow(add)
    shell.follow(push)
    assert "hello from" in shell.service.forge.get("shop")[1]


def test_webhooks(shell: Shell) -> None:
    source, show, test, log = transcript("Webhooks")
    # Where the page has a repository at GitHub, here is one of our own git remote, with a commit more.
    page = shell.folder / "app.py"
    page.write_text(page.read_text() + "\n# another version\n")
    commit = Repository(shell.folder).commit("second")
    url = f"http://127.0.0.1:{shell.service.forge.api_port}/git/mirror.git"
    remote = url.replace("//", f"//x:{shell.service.token}@")
    Repository(shell.folder).git("push", "--quiet", remote, "main")
    shell.follow(source, **{"https://github.com/you/shop.git": url})
    shell.service.ask("PUT", "/v1/apps/shop/source/token", json={"value": shell.service.token}).raise_for_status()
    shell.follow(show)
    (written,) = re.findall(r"--commit (\S+)", test.command)
    shell.follow(test, **{written: commit})
    shell.follow(log, **{f"-f {log.command.split()[-1]}": f"-f {newest(shell)}"})


def test_the_http_api(shell: Shell) -> None:
    upload, events = transcript("The HTTP API")
    shell.follow(upload, curl="curl -sS")
    (written,) = re.findall(r"builds/(\d+)/", events.command)
    shell.follow(events, curl="curl -sS", **{f"builds/{written}/": f"builds/{newest(shell)}/"})


def test_a_page_that_says_something_else_is_found() -> None:
    page = ("build 4 steps, 1 from cache, 287 MB 1.1 s", "…", "remote:", "shop release 1 http://shop.localhost:8700")
    said = ["build 9 steps, 0 from cache, 3 MB 0.1 s", "x", "remote:", "shop release 22 http://shop.localhost:1"]
    assert unsaid(page, said) is None
    assert in_order(["a", "[2/3] x", "[1/3] y", "b"]) == ["a", "[1/3] y", "[2/3] x", "b"]
    assert unsaid(page, said[:2]) == page[3]
    assert unsaid(page, [said[0].replace("steps", "stages"), *said[1:]]) == page[0]
    assert unsaid(page, [*said, "more"]) == "nothing of: more"
    assert [step.command.split()[0] for step in transcript("The HTTP API")] == ["tar", "curl"]
