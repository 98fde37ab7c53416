"""A command in a container, and what it printed."""

from __future__ import annotations

from collections.abc import Sequence

import docker


def printed(
    client: docker.DockerClient, image: str, instance: str, command: Sequence[str] | None = None, *, user: str = ""
) -> bytes:
    """All of its output. The SDK's own `run` removes the container before it has read the rest of that."""
    container = client.containers.create(
        image, list(command) if command else None, user=user or None, labels={"io.imageforge.instance": instance}
    )
    try:
        container.start()
        container.wait()
        return bytes(container.logs())
    finally:
        container.remove(force=True)
