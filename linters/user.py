"""Which user a program runs as: root, a number, a name, or what nobody can tell from what is at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from linters.stages import Plan, Step

_NUMBER = re.compile(r"\+?[0-9]+$")


class UserKind(StrEnum):
    """What is known of a user."""

    ROOT = "root"
    NUMERIC = "numeric"
    NAME = "name"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A user with its kind. `text` is as it is written, variables replaced, None where that is unknown; `step` the
    USER that says so, None where the base image does."""

    kind: UserKind
    text: str | None = None
    step: Step | None = None

    @property
    def name(self) -> str:
        """The part before the colon."""
        return (self.text or "").partition(":")[0]


def kind_of(text: str | None) -> UserKind:
    """The kind of a user as USER or an image's configuration has it, a group behind a colon allowed."""
    name = (text or "").partition(":")[0]
    if not name:
        return UserKind.UNKNOWN
    if _NUMBER.match(name):
        return UserKind.NUMERIC if name.strip("+0") else UserKind.ROOT
    return UserKind.ROOT if name.lower() == "root" else UserKind.NAME


def user_of(plan: Plan, *, before: Step | None = None) -> User:
    """The user in effect at the end of the target's chain, or just before one of its steps."""
    found: Step | None = None
    for step in plan.steps():
        if step is before:
            break
        if step.instruction.keyword == "USER":
            found = step
    if found is not None:
        text = found.expand(found.instruction.arguments)
        return User(kind=kind_of(text), text=text, step=found)
    config = plan.base_config
    if plan.base_image == "scratch":
        return User(kind=UserKind.ROOT, text="root")
    if config is None:
        return User(kind=UserKind.UNKNOWN)
    text = config.user or "root"
    return User(kind=kind_of(text), text=text)
