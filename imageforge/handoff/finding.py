"""Something about a file that whoever takes it to a cluster must know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What follows from it: the file must be changed; the cluster must have something; it means something else there,
    or nothing here, and nothing need be done."""

    CHANGE = "change"
    NEED = "need"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`where` is the document's file and line, `object` its kind and name, `field` the way into it."""

    level: Level
    where: str
    object: str
    field: str
    what: str
    do: str = ""
