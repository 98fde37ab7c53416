"""Settings of a home, and what a repository may say in its imageforge.toml."""

from imageforge.config.home import Home
from imageforge.config.repository import (
    AppSection,
    BuildSection,
    LintSection,
    RepositoryConfig,
    Waiver,
    load_repository,
)
from imageforge.config.settings import Settings, load_settings

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
