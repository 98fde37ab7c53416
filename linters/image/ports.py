"""The ports that an image says it listens on."""

from __future__ import annotations

from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.rule import ImageHit


def exposed_ssh(evidence: Evidence) -> Iterator[ImageHit]:
    """IF105."""
    for port in evidence.facts.exposed:
        if port in ("22", "22/tcp"):
            yield ImageHit(
                message="port 22 is exposed: an SSH server beside the program is a second process",
                fix="remove it; `docker exec` opens a shell in a running replica",
                excerpt=port,
            )
