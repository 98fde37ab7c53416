"""Which images go: pure, from what is stored, what is needed, and how many bytes there may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

BUILD_TAG = re.compile(r"b[1-9][0-9]*")
"""The tag that a build gives its image, where nobody named another."""
BUILD_NAME = "imageforge.invalid/build"
"""Where a build's image stays until it is squashed: a name no registry can have, so it is never pulled or pushed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Something that takes room: `parts` are the bytes of its pieces by their names, which others may share; `used_at`
    (Unix time) when it was last of use; `ours` whether imageforge made it; `needed` whether something would miss it."""

    name: str
    parts: Mapping[str, int]
    used_at: float
    ours: bool
    needed: bool

    @property
    def spare(self) -> bool:
        """Whether it may go."""
        return self.ours and not self.needed


def surplus(stored: Sequence[Stored], *, budget: int | None = None, before: float = float("inf")) -> tuple[Stored, ...]:
    """What goes, oldest first: what is ours, nobody needs, and was last of use before `before`; with a `budget` no more
    than it takes for all that is left, what is needed and others' included, to have that many bytes."""
    candidates = sorted(
        (one for one in stored if one.spare and one.used_at < before), key=lambda one: (one.used_at, one.name)
    )
    if budget is None:
        return tuple(candidates)
    users: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for one in stored:
        for part, size in one.parts.items():
            users[part] = users.get(part, 0) + 1
            sizes[part] = size
    total, gone = sum(sizes.values()), []
    for one in candidates:
        if total <= budget:
            break
        gone.append(one)
        for part in one.parts:
            users[part] -= 1
            if not users[part]:
                total -= sizes[part]
    return tuple(gone)


def left(stored: Iterable[Stored], gone: Iterable[Stored]) -> int:
    """The bytes that a place has once `gone` of what is `stored` there went; what several share counts once."""
    names = {one.name for one in gone}
    return sum({part: size for one in stored if one.name not in names for part, size in one.parts.items()}.values())


def is_ours(tags: Iterable[str]) -> bool:
    """Whether an image of the registry may be tidied: its tags are all those of builds. What somebody named otherwise,
    in whatever way it was made, he keeps."""
    return all(BUILD_TAG.fullmatch(tag) for tag in tags)


def images_in(manifests: Iterable[str]) -> frozenset[str]:
    """The images that objects name, out of their YAML."""
    found: set[str] = set()
    for text in manifests:
        for document in yaml.safe_load_all(text):
            _gather(document, found)
    return frozenset(found)


def _gather(value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            if key == "image" and isinstance(entry, str):
                found.add(entry)
            else:
                _gather(entry, found)
    elif isinstance(value, list):
        for entry in value:
            _gather(entry, found)


def engine_spare(names: Collection[str], *, registry: str, build_name: str) -> bool:
    """Whether an image that carries our label may leave the engine by its names: each is one that a build gave it, or
    there is none. A base image of ours, or a name that a user chose, keeps it."""
    return all(name.startswith((f"{registry}/", f"{build_name}:", "sha256:")) for name in names)
