"""What would fail in the build after a long wait, found before it: syntax the engine's BuildKit does not have, images
that cannot be reached."""

from __future__ import annotations

from pathlib import Path

from builders import Endpoint, EngineFacts, resolvable
from imageforge.errors import StackError, UsageError
from imageforge.stack.bases import DEBIAN, DERIVED
from linters import frontend_features, syntax_directive

REACH_SECONDS = 5.0
"""How long a registry may take to say whether it has an image."""


def check_frontend(dockerfile: Path, shown: str, facts: EngineFacts, endpoint: Endpoint) -> None:
    """Refuse what this engine's Dockerfile frontend cannot do.

    Raises UsageError (`frontend-unsupported`) with line and remedy, StackError (`syntax-image-unreachable`).
    """
    syntax = syntax_directive(dockerfile)
    if syntax is not None:
        found = resolvable(endpoint, syntax.image, REACH_SECONDS)
        if found:
            return
        raise StackError(
            "syntax-image-unreachable",
            f"{shown}:{syntax.line}",
            f"`# syntax={syntax.image}` names an image that is neither in the engine nor reachable: {found.reason}",
            hint=f"remove the line: this engine's own frontend ({_version(facts.frontend)}) builds without it, "
            "or make the image reachable",
        )
    for feature in frontend_features(dockerfile):
        if feature.needs > facts.frontend:
            raise UsageError(
                "frontend-unsupported",
                f"{shown}:{feature.line}",
                f"{feature.name} needs Dockerfile frontend {_version(feature.needs)}; engine {facts.version} has "
                f"{_version(facts.frontend)}: {feature.excerpt.strip()}",
                hint=f"{feature.remedy}; or use an engine of version 23 or later",
            )


def check_base(base_image: str | None, shown: str, endpoint: Endpoint) -> None:
    """Refuse a base image that is neither in the engine nor reachable. Raises StackError (`base-unreachable`)."""
    if base_image is None or base_image == "scratch":
        return
    found = resolvable(endpoint, base_image, REACH_SECONDS)
    if found:
        return
    raise StackError(
        "base-unreachable",
        shown,
        f"the base image {base_image} is not in the engine, and {found.reason}",
        hint=_base_hint(base_image),
    )


def _base_hint(base_image: str) -> str:
    own = base_image.removeprefix("imageforge/")
    if own != base_image:
        if own in (DEBIAN, *DERIVED):
            return f"imageforge base create {own}"
        return (
            f"imageforge makes {', '.join(f'imageforge/{name}' for name in (DEBIAN, *DERIVED))}: build on one of them"
        )
    language = base_image.rpartition("/")[2].partition(":")[0]
    near = next((name for name in DERIVED if name.startswith(f"{language}:")), DEBIAN)
    return f"where no hub can be reached: `imageforge base create {near}`, then FROM imageforge/{near}"


def _version(version: tuple[int, int]) -> str:
    return ".".join(str(part) for part in version)
