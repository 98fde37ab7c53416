"""A home with a real HAProxy and a real controller, and the image of a small application."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from runtime import RuntimeSettings, clear_secret_files
from tests.runtime.stack import HERE, Stack, make_settings


@pytest.fixture(scope="session")
def app_image(docker_client: docker.DockerClient) -> Iterator[str]:
    """The application of `app/`, built once a run."""
    tag = f"imageforge-test/runtime:{secrets.token_hex(4)}"
    docker_client.images.build(path=str(HERE / "app"), tag=tag, rm=True)
    yield tag
    docker_client.images.remove(tag, force=True)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="if-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def settings(short_path: Path, instance: str, engine_host: str, free_port: int) -> Iterator[RuntimeSettings]:
    made = make_settings(short_path, instance, engine_host, free_port)
    yield made
    clear_secret_files(made)


@pytest.fixture
def stack(settings: RuntimeSettings, short_path: Path) -> Iterator[Stack]:
    """HAProxy and a controller, both running."""
    made = Stack(settings=settings, home=short_path)
    with made.running():
        yield made
