"""The words for kinds and objects on the command line: Kubernetes' names, plurals and short names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imageforge.errors import UsageError
from runtime import KINDS

POD = "Pod"
SHORT = {
    "cj": "CronJob",
    "cm": "ConfigMap",
    "deploy": "Deployment",
    "hpa": "HorizontalPodAutoscaler",
    "ing": "Ingress",
    "ns": "Namespace",
    "po": POD,
    "pvc": "PersistentVolumeClaim",
    "svc": "Service",
}
"""Those of `kubectl api-resources`."""
KNOWN = tuple(sorted({*KINDS, POD}))
_WORDS = {
    **{short: kind for short, kind in SHORT.items() if kind in KNOWN},
    **{kind.lower(): kind for kind in KNOWN},
    **{f"{kind.lower()}s": kind for kind in KNOWN},
    **{f"{kind.lower()}es": kind for kind in KNOWN if kind.endswith("s")},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One object as it was named."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def parse_kind(word: str) -> str:
    """``deploy``, ``deployments`` and ``Deployment`` as the kind's name. Raises UsageError (`unknown-kind`)."""
    kind = _WORDS.get(word.lower())
    if kind is None:
        close = difflib.get_close_matches(word.lower(), _WORDS, n=1)
        raise UsageError(
            "unknown-kind",
            word,
            "no kind of this name is kept here",
            hint=f"did you mean {close[0]}?" if close else f"one of {', '.join(KNOWN)}",
        )
    return kind


def parse_kinds(words: str) -> list[str]:
    """``deploy,svc`` as kinds, each once. Raises UsageError (`unknown-kind`)."""
    return list(dict.fromkeys(parse_kind(word.strip()) for word in words.split(",")))


def parse_target(word: str, name: str | None = None) -> Target:
    """``deployment/web``, or ``deployment`` and ``web``. Raises UsageError (`unknown-kind`, `name-missing`)."""
    said, slash, rest = word.partition("/")
    kind = parse_kind(said)
    found = rest if slash else name
    if not found or (slash and name):
        raise UsageError("name-missing", word, "expected one object", hint=f"{said}/NAME, such as {said}/web")
    return Target(kind=kind, name=found)


def place(kind: str, namespace: str) -> str:
    """The namespace that an object of a kind is in: a Namespace is in none."""
    return "" if kind == "Namespace" else namespace


def only(target: Target, *kinds: str) -> Target:
    """The same, where its kind is one of these. Raises UsageError (`wrong-kind`)."""
    if target.kind not in kinds:
        raise UsageError("wrong-kind", str(target), f"expected {' or '.join(kinds)}")
    return target


@contextmanager
def meant_as_app(word: str) -> Iterator[None]:
    """Where there is no app of a bare name, a Deployment of a file may be meant: the hint says how it is named."""
    try:
        yield
    except UsageError as error:
        if error.code != "no-such-app":
            raise
        hint = f"{error.hint}; a Deployment of a file is named deployment/{word}"
        raise UsageError(error.code, error.subject, error.message, hint=hint) from error
