"""Image references: parsed once at the edge, canonical ever after.

The grammar is that of the distribution project's ``reference`` package (``reference-grammar`` in its documentation);
short names are completed as Docker completes them: ``debian`` is ``docker.io/library/debian``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NoReturn

from registry.errors import InvalidReference

DEFAULT_REGISTRY = "docker.io"
OFFICIAL_NAMESPACE = "library"
NAME_LIMIT = 255  # of registry and repository together, with the slash between

_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<encoded>[a-zA-Z0-9=_-]+)")
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """A reference in parts: `registry` (``127.0.0.1:8705``), `repository` (``library/debian``), `tag` and `digest`.

    Neither tag nor digest is invented: a bare name has None in both.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """The reference that `text` spells. Raises InvalidReference, which says which part is wrong and why."""
        if not text:
            _refuse("(empty)", "an image reference is expected, and nothing was given")
        if _IMAGE_ID.fullmatch(text):
            _refuse(text, "64 hexadecimal digits are an image ID, not a name", hint="name the image NAME:TAG")
        rest, at, digest = text.partition("@")
        if at:
            _check_digest(text, digest)
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            _refuse(
                text,
                f"the tag {tag!r} is not one: expected 1 to 128 letters, digits, '_', '.' or '-', "
                "not starting with '.' or '-'",
            )
        registry, repository = _split_registry(name)
        _check_name(text, registry, repository)
        return cls(registry=registry, repository=repository, tag=tag, digest=digest or None)

    def __str__(self) -> str:
        """The canonical spelling, every part said: ``docker.io/library/debian:bookworm``."""
        return f"{self.name}{self._suffix}"

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """As Docker shows it: without ``docker.io/`` and ``library/``."""
        if self.registry != DEFAULT_REGISTRY:
            return str(self)
        namespace, slash, rest = self.repository.partition("/")
        short = rest if slash and namespace == OFFICIAL_NAMESPACE and "/" not in rest else self.repository
        return f"{short}{self._suffix}"

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return tag + digest

    def with_tag(self, tag: str) -> ImageRef:
        """The same repository at `tag`, and at no digest. Raises InvalidReference."""
        if not _TAG.fullmatch(tag):
            _refuse(tag, "not a tag: expected 1 to 128 letters, digits, '_', '.' or '-', not starting with '.' or '-'")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> ImageRef:
        """The same name, tag included, at `digest`. Raises InvalidReference."""
        _check_digest(digest, digest)
        return replace(self, digest=digest)


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of a known algorithm: ``sha256:`` and 64 lower-case hexadecimal digits."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        return False
    length = _HEX_LENGTHS.get(match["algorithm"])
    return length is not None and re.fullmatch(rf"[a-f0-9]{{{length}}}", match["encoded"]) is not None


def _split_tag(rest: str) -> tuple[str, str | None]:
    """Name and tag. A colon before the last slash is a port's."""
    head, colon, tail = rest.rpartition(":")
    if colon and "/" not in tail and not tail.endswith("]"):
        return head, tail
    return rest, None


def _split_registry(name: str) -> tuple[str, str]:
    """Docker's rule: the first part is a registry if it has a dot, a colon or upper case, or is ``localhost``."""
    first, slash, rest = name.partition("/")
    is_host = slash and (any(mark in first for mark in ".:") or first == "localhost" or first != first.lower())
    registry, repository = (first, rest) if is_host else (DEFAULT_REGISTRY, name)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository and repository:
        repository = f"{OFFICIAL_NAMESPACE}/{repository}"
    return registry, repository


def _check_name(text: str, registry: str, repository: str) -> None:
    if not repository:
        _refuse(text, "it names no repository", hint="spell it [REGISTRY/]REPOSITORY[:TAG]")
    if not _REGISTRY.fullmatch(registry):
        _refuse(text, f"the registry {registry!r} is not a host, or a host and a port")
    if len(registry) + 1 + len(repository) > NAME_LIMIT:
        _refuse(text[:60] + "…", f"the name is longer than {NAME_LIMIT} characters")
    for part in repository.split("/"):
        if not _PATH_PART.fullmatch(part):
            _refuse(text, _why_bad_part(repository, part), hint=_hint_for_part(text, part))


def _why_bad_part(repository: str, part: str) -> str:
    if not part:
        return "two slashes follow each other, or one stands at an end"
    if part != part.lower():
        return f"the repository {repository!r} has upper-case letters; a repository is lower case"
    return (
        f"the part {part!r} of the repository is not valid: expected lower-case letters and digits, "
        "joined by '.', '_', '__' or dashes"
    )


def _hint_for_part(text: str, part: str) -> str | None:
    lowered = part.lower()
    if part != lowered and _PATH_PART.fullmatch(lowered):
        return f"write {text.replace(part, lowered)}"
    return None


def _check_digest(text: str, digest: str) -> None:
    if is_digest(digest):
        return
    algorithm, colon, _ = digest.partition(":")
    if not colon or algorithm not in _HEX_LENGTHS:
        _refuse(text, f"{digest!r} is not a digest: expected sha256: and 64 hexadecimal digits")
    _refuse(text, f"the digest needs {_HEX_LENGTHS[algorithm]} lower-case hexadecimal digits after '{algorithm}:'")


def _refuse(subject: str, message: str, *, hint: str | None = None) -> NoReturn:
    raise InvalidReference("invalid-reference", subject, message, hint=hint)
