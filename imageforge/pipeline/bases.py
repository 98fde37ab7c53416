"""What the images that a Dockerfile builds on say of themselves, where the engine has them: none is pulled for it."""

from __future__ import annotations

from builders import Endpoint, EngineError, inspect_image
from linters import BaseConfig, Bases


def known_bases(endpoint: Endpoint) -> Bases:
    """The configurations of the engine's images by reference. None for one that is not there: the file is then judged
    without, and the built image tells."""

    def find(reference: str) -> BaseConfig | None:
        try:
            config = inspect_image(reference, endpoint=endpoint).config.get("config")
        except EngineError:
            return None
        return BaseConfig.of(config) if isinstance(config, dict) else None

    return find
