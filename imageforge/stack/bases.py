"""The base images that imageforge can make, and the Dockerfiles of those that are derived from another.

The Dockerfiles lie under examples/bases in a checkout, ordinary ones that anybody can build; a wheel carries copies.
"""

from __future__ import annotations

from pathlib import Path

DEBIAN = "debian:bookworm"
DERIVED = ("python:3.11",)
_PARENTS = {"python:3.11": DEBIAN}
_PACKAGED = Path(__file__).parents[1] / "_bases"
_CHECKOUT = Path(__file__).parents[2] / "examples" / "bases"


def parent_of(name: str) -> str:
    """The base image that a derived one is made from."""
    return _PARENTS[name]


def derived_folder(name: str) -> Path:
    """The build context of a derived base: a folder with a Dockerfile that takes BASE_IMAGE."""
    folder = name.replace(":", "-")
    return next(path for path in (_PACKAGED / folder, _CHECKOUT / folder) if path.is_dir())
