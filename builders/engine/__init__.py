"""The engine: which one, what it can do, and the few requests that builders makes of it.

`builders.engine.connection` is the only module of the package that imports the Docker SDK.
"""

from builders.engine.cli_context import config_folder
from builders.engine.connection import Connection, connect
from builders.engine.endpoint import Endpoint
from builders.engine.facts import EngineFacts, engine_facts
from builders.engine.find import find_engine
from builders.engine.images import (
    EngineImage,
    Resolution,
    has_image,
    inspect_image,
    labelled,
    labelled_images,
    name_pushed,
    remove_image,
    remove_labelled_images,
    remove_tag,
    resolvable,
)

__all__ = [
    "Connection",
    "Endpoint",
    "EngineFacts",
    "EngineImage",
    "Resolution",
    "config_folder",
    "connect",
    "engine_facts",
    "find_engine",
    "has_image",
    "inspect_image",
    "labelled",
    "labelled_images",
    "name_pushed",
    "remove_image",
    "remove_labelled_images",
    "remove_tag",
    "resolvable",
]
