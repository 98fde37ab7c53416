"""Settings of a home, and what a repository may say in its imageforge.toml.

The latter is loaded when it is asked for: with it come all rules of the linters, which most commands have no use for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from imageforge.config.home import Home
from imageforge.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from imageforge.config.repository import (
        AppSection,
        BuildSection,
        LintSection,
        RepositoryConfig,
        Waiver,
        load_repository,
    )
else:
    _LATER = frozenset(("AppSection", "BuildSection", "LintSection", "RepositoryConfig", "Waiver", "load_repository"))

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module 'imageforge.config' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module("imageforge.config.repository"), name)
        return found


__all__ = [
    "AppSection",
    "BuildSection",
    "Home",
    "LintSection",
    "RepositoryConfig",
    "Settings",
    "Waiver",
    "load_repository",
    "load_settings",
]
