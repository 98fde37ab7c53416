"""Image references, parsed once at the edge; the grammar is that of CNCF distribution's reference package."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from registry.errors import InvalidReference

DEFAULT_REGISTRY = "docker.io"
LONGEST_NAME = 255
"""Characters of registry and repository together."""

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """Registry (``docker.io``, ``127.0.0.1:8705``), repository (``library/debian``), and a tag, a digest, both or
    neither."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read a reference as Docker does. Raises InvalidReference (`invalid-reference`) saying which part is wrong."""
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _invalid(text, f"`{digest}` is no digest", "a digest is sha256: and 64 hexadecimal digits")
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _invalid(text, f"`{tag}` is no tag", "a tag has up to 128 of A-Z, a-z, 0-9, _, . and -")
        registry, repository = _split_registry(name)
        if not _HOST.fullmatch(registry):
            raise _invalid(text, f"`{registry}` is no registry", "a registry is a host name and perhaps a port")
        if not _REPOSITORY.fullmatch(repository):
            hint = "a repository is of a-z, 0-9, with single . _ - and / between them"
            lower = repository.lower()
            if lower != repository and _REPOSITORY.fullmatch(lower):
                hint = f"write it in lower case: {text.replace(name, name.lower())}"
            raise _invalid(text, f"`{repository}` is no repository", hint)
        if len(registry) + len(repository) + 1 > LONGEST_NAME:
            raise _invalid(text, f"the name has more than {LONGEST_NAME} characters", "choose a shorter one")
        return cls(registry=registry, repository=repository, tag=tag, digest=digest if at else None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def familiar(self) -> str:
        """As Docker shows it: without docker.io and library."""
        if self.registry != DEFAULT_REGISTRY:
            return str(self)
        return str(self).removeprefix(f"{DEFAULT_REGISTRY}/").removeprefix("library/")

    def with_tag(self, tag: str | None) -> ImageRef:
        """The same image under another tag."""
        return replace(self, tag=tag)

    def with_digest(self, digest: str | None) -> ImageRef:
        """The same image, pinned."""
        return replace(self, digest=digest)


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon behind the last slash begins a tag; one before it belongs to a registry's port."""
    head, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return f"{head}{slash}{name}", tag if colon else None


def _split_registry(name: str) -> tuple[str, str]:
    """The first component is a registry when it could be no repository: it has a dot, a port, a capital letter, or is
    localhost."""
    first, slash, rest = name.partition("/")
    if slash and (any(mark in first for mark in ".:") or first == "localhost" or first.lower() != first):
        registry = DEFAULT_REGISTRY if first == "index.docker.io" else first
        return registry, _official(rest) if registry == DEFAULT_REGISTRY else rest
    return DEFAULT_REGISTRY, _official(name)


def _official(repository: str) -> str:
    return repository if "/" in repository else f"library/{repository}"


def _invalid(text: str, message: str, hint: str) -> InvalidReference:
    return InvalidReference("invalid-reference", text or "''", message, hint=hint)
