"""What our rules say of a text, with a context and base images where a test has them."""

from __future__ import annotations

from pathlib import Path

from linters import Bases, Finding, Job, own_findings
from linters.base import no_bases


def judged(
    text: str, *, context: Path | None = None, bases: Bases = no_bases, squashed: bool = False
) -> tuple[Finding, ...]:
    """The findings of our own rules."""
    dockerfile = (context or Path()) / "Dockerfile"
    job = Job(dockerfile=dockerfile, name="Dockerfile", text=text, context=context, bases=bases, squashed=squashed)
    return own_findings(job)
