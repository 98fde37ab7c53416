"""What a build is given by --build-arg."""

from __future__ import annotations

import os

from imageforge.errors import UsageError


def parse_build_args(values: list[str] | None) -> dict[str, str]:
    """NAME=VALUE pairs; NAME alone takes its value from the environment. Raises UsageError (`invalid-build-arg`)."""
    parsed: dict[str, str] = {}
    for text in values or []:
        name, separator, value = text.partition("=")
        if not name.isidentifier():
            raise UsageError("invalid-build-arg", name, "expected NAME=VALUE", hint="--build-arg BASE_IMAGE=debian:12")
        if separator:
            parsed[name] = value
        elif name in os.environ:
            parsed[name] = os.environ[name]
    return parsed
