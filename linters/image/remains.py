"""What a build leaves in an image that no container needs: caches, build tools, histories of version control."""

from __future__ import annotations

from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.image.sizes import megabytes
from linters.rule import ImageHit

LEAST_CACHE = 256 * 1024
"""Bytes of a cache below which it is not worth a word."""

_CLEAN = {
    "apt": "rm -rf /var/lib/apt/lists/* in the same RUN, or mount caches there",
    "apk": "apk add --no-cache",
    "dnf": "dnf clean all in the same RUN",
    "zypper": "zypper clean --all in the same RUN",
    "pip": "pip install --no-cache-dir",
    "uv": "uv pip install --no-cache, or UV_NO_CACHE=1",
    "poetry": "rm -rf ~/.cache/pypoetry in the same RUN",
    "npm": "npm cache clean --force in the same RUN",
    "yarn": "yarn cache clean in the same RUN",
    "composer": "composer clear-cache in the same RUN",
    "conda": "conda clean --all --yes in the same RUN",
}


def caches(evidence: Evidence) -> Iterator[ImageHit]:
    """IF301."""
    for cache in evidence.caches:
        if cache.size >= LEAST_CACHE:
            yield ImageHit(
                message=f"{megabytes(cache.size)} of {cache.name}'s cache stay in the image ({cache.files} files)",
                fix=_CLEAN.get(cache.name, "RUN --mount=type=cache keeps it out of the image"),
                excerpt=cache.example,
            )


def build_tools(evidence: Evidence) -> Iterator[ImageHit]:
    """IF302: tools that the base image lacks. A base that brings some is a builder's, and says so itself."""
    if evidence.tools:
        names = [name for name, _ in evidence.tools]
        more = " …" if len(names) > 6 else ""
        yield ImageHit(
            message=f"build tools stay in the image: {', '.join(names[:6])}{more}",
            fix="install them in a build stage, and COPY --from it what was built",
            excerpt=evidence.tools[0][1],
        )


def repositories(evidence: Evidence) -> Iterator[ImageHit]:
    """IF306: the past of a source, with all that was ever committed to it."""
    for found in evidence.repositories:
        yield ImageHit(
            message=f"the folder {found.name} is in the image, with the source's whole past "
            f"({megabytes(found.size)}, {found.files} files)",
            fix="add .git to .dockerignore",
            excerpt=found.name,
        )
