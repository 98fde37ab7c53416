"""Fixtures that every package's tests share: the engine of this run, its base images, a home of one's own.

The engine is the one that DOCKER_HOST names, else the one on the system socket; `make test` starts a private one in a
network namespace where neither is there. A test that needs an engine fails without one; it is never skipped.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import hypothesis
import pytest

from tests.ports import unused_port
from tests.sandbox import SHARED

# Whoever starts the tests in the background has SIGINT ignored in them, and what is tested here is what it does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Processes of ours are started by the hundred, and each that finds no compiled modules spends a second on them. Where
# none are to be written they are kept outside of the tree, for as long as the tests run.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="imageforge-compiled-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)

# How long an example takes says nothing on a machine that others use, too.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
BASES = ("imageforge/debian:bookworm", "imageforge/python:3.11")
SYSTEM_SOCKET = Path("/var/run/docker.sock")


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """The Docker endpoint of this run, as DOCKER_HOST would spell it, with imageforge/debian:bookworm and
    imageforge/python:3.11 in it: made by the command itself where they are absent, and then removed at the end."""
    host = os.environ.get("DOCKER_HOST") or (f"unix://{SYSTEM_SOCKET}" if SYSTEM_SOCKET.exists() else "")
    if not host:
        pytest.fail("no engine: run `make test`, which starts a private one")
    with tempfile.TemporaryDirectory(prefix="ifg-base-", dir="/var/tmp") as home:
        with shared_bases(host):
            _imageforge(home, host, "base", "create", "python:3.11")
        yield host
        _imageforge(home, host, "down", "--purge", "--yes")
        Path(home).mkdir(exist_ok=True)


@contextlib.contextmanager
def shared_bases(host: str) -> Iterator[None]:
    """Where several runs share a folder for it, the first of them leaves its base images there once they are made, and
    the others take them: to bootstrap them is a minute of a processor."""
    folder = os.environ.get(SHARED)
    if folder is None:
        yield
        return
    client = docker.DockerClient(base_url=host, timeout=120)
    with contextlib.closing(client), (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {name: Path(folder) / f"{number}.tar" for number, name in enumerate(BASES)}
        for file in kept.values():
            if file.exists():
                with file.open("rb") as archive:
                    client.images.load(archive)
        yield
        for name, file in kept.items():
            if not file.exists():
                with file.with_suffix(".part").open("wb") as archive:
                    archive.writelines(client.images.get(name).save(named=name))
                file.with_suffix(".part").rename(file)


def _imageforge(home: str, host: str, *arguments: str) -> None:
    environ = {**os.environ, "IMAGEFORGE_HOME": home, "DOCKER_HOST": host, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "imageforge", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def docker_client(engine_host: str) -> Iterator[docker.DockerClient]:
    """An SDK client for looking at what the code under test did; the code itself is given `engine_host`."""
    client = docker.DockerClient(base_url=engine_host, timeout=60)
    yield client
    client.close()


@pytest.fixture
def instance(docker_client: docker.DockerClient) -> Iterator[str]:
    """A name for one test's instance label; whatever carries it is removed afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    wanted = {"label": f"io.imageforge.instance={name}"}
    for container in docker_client.containers.list(all=True, filters=wanted):
        container.remove(force=True, v=True)
    for network in docker_client.networks.list(filters=wanted):
        network.remove()
    for image in docker_client.images.list(filters=wanted):
        for tag in image.tags or [image.id]:
            docker_client.images.remove(tag, force=True)


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody had a moment ago, nor the three behind it."""
    return unused_port()
