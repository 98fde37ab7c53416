"""IF022: an image from a registry that the project does not take images from."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

HUB = "docker.io"


def _check(subject: Subject) -> Iterator[Hit]:
    allowed = subject.policy.registries
    if not allowed:
        return
    for source in subject.plan.sources():
        if source.reference is None or source.reference.lower() == "scratch":
            continue
        host = registry_of(source.reference)
        if not any(_allows(pattern, host, source.reference) for pattern in allowed):
            yield Hit(
                span=source.instruction.span(source.start, source.end),
                message=f"{source.reference} comes from {host}, which this project takes no images from",
                fix=f"take it from {', '.join(allowed)}, or add the host to [lint] registries",
            )


def registry_of(reference: str) -> str:
    """The host that a reference means: its first part where that has a dot, a colon or is localhost, else Docker's."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else HUB


def _allows(pattern: str, host: str, reference: str) -> bool:
    """`registry.example.org`, `*.example.org`, or with a path: `docker.io/library`."""
    name, slash, path = pattern.partition("/")
    if not fnmatchcase(host, name):
        return False
    if not slash:
        return True
    repository = reference.removeprefix(f"{host}/").partition("@")[0].partition(":")[0]
    if host == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return repository == path.rstrip("/") or repository.startswith(f"{path.rstrip('/')}/")


RULE = Rule(
    id="IF022",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="Images come from the project's registries",
    check=_check,
    covers=frozenset({"DL3026"}),
)
