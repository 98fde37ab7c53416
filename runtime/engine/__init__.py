"""The Docker Engine, as far as the runtime needs it: the only package of runtime that imports the SDK."""

from runtime.engine.connection import NAME_TAKEN
from runtime.engine.engine import Engine
from runtime.engine.output import Events, Output

__all__ = ["NAME_TAKEN", "Engine", "Events", "Output"]
