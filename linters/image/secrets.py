"""Secrets in an image: in its variables, its history, the files of its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.model import Severity
from linters.rule import ImageHit
from linters.secret_text import known_token, looks_secret, names_secret

_ARGUMENTS = re.compile(r"^(?:RUN )?\|([0-9]{1,6}) ")
_PAIR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_SETTING = re.compile(r"(?:/bin/sh -c #\(nop\)\s+)?(ENV|ARG) (.*)", re.DOTALL)
_PLAIN = re.compile(r"(?:true|false|yes|no|on|off|none|null|[0-9.]{1,6})$", re.IGNORECASE)
_FIX = "give it when the container starts, or to one RUN by --mount=type=secret"


def written_secrets(evidence: Evidence) -> Iterator[ImageHit]:
    """IF209: what looks real in variables and history, build arguments among it. The same name is told once."""
    seen: set[str] = set()
    for name, value, place in _pairs(evidence):
        if name not in seen and looks_secret(name, value):
            seen.add(name)
            yield ImageHit(
                message=f"{place} {name} holds what looks like a real secret, for all who have the image",
                fix=_FIX,
                excerpt=name,
            )
    for number, text in enumerate(evidence.facts.history, start=1):
        if known_token(text) and not any(f"{name}=" in text for name in seen):
            yield ImageHit(
                message=f"entry {number} of the history holds what looks like a real token, for all who have the image",
                fix=_FIX,
                excerpt=f"history {number}",
            )


def default_secrets(evidence: Evidence) -> Iterator[ImageHit]:
    """IF210: a variable that speaks of a secret and has a value which does not look like one: a default that stays."""
    for name, value in evidence.facts.env:
        text = value.strip()
        if not text or text.startswith(("$", "/")) or _PLAIN.match(text):
            continue
        if names_secret(name) and not looks_secret(name, text):
            yield ImageHit(
                message=f"the variable {name} has a value in the image, and in each container that is given no other",
                fix="leave it out of the Dockerfile, and give it when the container starts",
                excerpt=name,
            )


def secret_files(evidence: Evidence) -> Iterator[ImageHit]:
    """IF211: in any layer, deleted later or not. What the base image brought is its maker's, and a warning."""
    facts = evidence.facts
    for found in evidence.secrets:
        file = found.file
        hidden = "" if file.kept else f"; it is deleted later, and layer {file.layer + 1} still holds it"
        yield ImageHit(
            message=f"{file.path} holds {found.what}, for all who have the image{hidden}",
            fix="RUN --mount=type=secret reads it without leaving it; set another one, since this one was in an image",
            severity=Severity.WARNING if facts.base is not None and file.layer < facts.base else None,
            excerpt=file.path,
        )


def _pairs(evidence: Evidence) -> Iterator[tuple[str, str, str]]:
    """(name, value, where that is)."""
    for name, value in evidence.facts.env:
        yield name, value, "the variable"
    for text in evidence.facts.history:
        yield from ((name, value, "in the history the build argument") for name, value in build_arguments(text))
        setting = _SETTING.match(text)
        if setting is not None:
            pair = _PAIR.match(setting[2].removesuffix(" # buildkit"))
            if pair is not None:
                yield pair[1], pair[2].strip("\"'"), f"in the history {setting[1]}"


def build_arguments(text: str) -> Iterator[tuple[str, str]]:
    """The build arguments of a RUN as engines note them: ``|2 A=1 B=two words /bin/sh -c …``."""
    head = _ARGUMENTS.match(text)
    if head is None:
        return
    rest, left = text[head.end() :], int(head[1])
    for pair in re.split(r" (?=[A-Za-z_][A-Za-z0-9_]*=)", rest)[:left]:
        found = _PAIR.match(pair)
        if found is None:
            return
        left -= 1
        yield found[1], found[2] if left else found[2].partition(" /")[0]
