"""Fixtures of the builders tests: the engine as builders sees it, and builds that clean up after themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import (
    BuildClient,
    BuildEvent,
    BuildRequest,
    BuiltImage,
    Endpoint,
    EngineFacts,
    build,
    engine_facts,
    find_build_client,
    find_engine,
)

BASE = "imageforge/debian:bookworm"
Builder = Callable[..., BuiltImage]


@pytest.fixture(scope="session")
def endpoint(engine_host: str) -> Endpoint:
    return find_engine(private_socket=None, environ={"DOCKER_HOST": engine_host})


@pytest.fixture(scope="session")
def facts(endpoint: Endpoint) -> EngineFacts:
    return engine_facts(endpoint)


@pytest.fixture(scope="session")
def client(endpoint: Endpoint, facts: EngineFacts) -> BuildClient:
    return find_build_client(endpoint, facts)


@pytest.fixture
def events() -> list[BuildEvent]:
    """What the builds of this test said."""
    return []


@pytest.fixture
def build_image(
    tmp_path: Path, endpoint: Endpoint, client: BuildClient, instance: str, events: list[BuildEvent]
) -> Builder:
    """Builds a Dockerfile given as text, in a context of its own, labelled with the test's instance."""

    def run(
        dockerfile: str, *, cancelled: threading.Event | None = None, tag: str = "1", **fields: object
    ) -> BuiltImage:
        context = tmp_path / "context"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile)
        request = BuildRequest(
            context=context,
            dockerfile=Path("Dockerfile"),
            tag=f"imageforge-test/{instance}:{tag}",
            labels={"io.imageforge.instance": instance},
            **fields,  # type: ignore[arg-type]
        )
        return build(request, endpoint=endpoint, client=client, on_event=events.append, cancelled=cancelled)

    return run
