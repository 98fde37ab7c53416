"""What the store knows of images."""

from __future__ import annotations

from imageforge.store import Builds, Database, Releases


def known_references(database: Database) -> tuple[str, ...]:
    """The images of all releases and builds, by digest."""
    return tuple(dict.fromkeys((*Releases(database).references(), *Builds(database).references(young=0.0))))


def known_repositories(references: tuple[str, ...], registry: str) -> tuple[str, ...]:
    """The repositories of a registry among references, in their order, each once."""
    head = f"{registry}/"
    names = (text.removeprefix(head).partition("@")[0].rpartition(":") for text in references if text.startswith(head))
    return tuple(dict.fromkeys(name[0] or name[2] for name in names))
