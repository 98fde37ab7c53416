"""Who runs the hooks, as a process of its own, and the hook that git starts; git itself is played by the test."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from imageforge.config import Home
from imageforge.git_remote.program import SERVER
from imageforge.git_remote.repository import RELAY, environment, repository
from imageforge.stack.probes import listens
from imageforge.stack.process import identify, myself
from imageforge.store import Apps, BuildQueue, Database, Submission
from tests.imageforge.api.service import until

COMMIT = "a" * 40


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    with Database.at(made.store) as database:
        Apps(database).ensure("shop")
    return made


@pytest.fixture
def runner(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "imageforge.git_remote.runner", "--home", str(home.path)]
    with subprocess.Popen(command) as process:
        until(lambda: listens(home.hooks_socket) is None)
        yield process
        process.kill()


@contextmanager
def hook(
    home: Home, name: str, *, stderr: int | None = None, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The hook as git starts it, told of one push to main."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(RELAY), name, str(home.hooks_socket)],
        cwd=repository(home, "shop", "main"),
        env={**environment(home), "FORGE_APP": "shop", **(environ or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as started:
        try:
            assert started.stdin
            started.stdin.write(f"{'0' * 40} {COMMIT} refs/heads/main\n")
            started.stdin.close()
            yield started
        finally:
            started.kill()


def test_who_follows_a_push_goes_when_the_service_stops(home: Home, runner: subprocess.Popen[bytes]) -> None:
    """Its build waits until the service is back, which may be never."""
    with Database.at(home.store) as database:
        held = BuildQueue(database).submit(
            Submission(app="shop", source="x", spec={}, origin="git", branch="main", revision=COMMIT, held_by=myself())
        )
    with hook(home, "post-receive") as started:
        assert started.stdout
        assert started.stdout.readline() == f"accepted as build {held.build_id}\n"
        runner.terminate()
        runner.wait()
        # All of it: whoever else held the other end has gone.
        assert f"build {held.build_id} goes on when it is back" in started.stdout.read()
        assert started.wait() == 0


def test_a_hook_without_a_runner_goes_when_the_process_that_started_git_does(home: Home) -> None:
    with Database.at(home.store) as database:
        held = BuildQueue(database).submit(
            Submission(app="shop", source="x", spec={}, origin="git", branch="main", revision=COMMIT, held_by=myself())
        )
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        identity = identify(server.pid)
        assert identity
        with hook(home, "post-receive", environ={SERVER: json.dumps(asdict(identity))}) as started:
            assert started.stdout
            assert started.stdout.readline() == f"accepted as build {held.build_id}\n"
            server.kill()
            server.wait()
            assert f"build {held.build_id} goes on when it is back" in started.stdout.read()
            assert started.wait() == 0


def test_a_push_that_the_service_did_not_take_in_any_more_is_told_so(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.hooks_socket))
        listener.listen()
        with hook(home, "pre-receive", stderr=subprocess.PIPE) as started:
            # Closed with what was sent still unread, as by one that ends: the hook's end is reset.
            connection, _ = listener.accept()
            select.select([connection], [], [])
            connection.close()
            assert started.stderr
            assert started.stderr.read().startswith("error[service-stopped]: ")
            assert started.wait() == 1
