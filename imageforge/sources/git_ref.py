"""Names of branches, tags and commits, by the rules of git-check-ref-format."""

from __future__ import annotations

import re

from imageforge.sources.errors import SourceRefused

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_LENGTH = 250


def check_ref(ref: str) -> str:
    """The name of a branch or tag, a full `refs/…`, or HEAD. Raises SourceRefused (`git-ref-invalid`)."""
    parts = ref.split("/")
    if (
        not ref
        or len(ref.encode("utf-8", "replace")) > _LENGTH
        or ref == "@"
        or ref.startswith(("-", "/"))
        or ref.endswith((".", "/"))
        or _FORBIDDEN.search(ref)
        or not ref.isprintable()
        or any(part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise SourceRefused(
            "git-ref-invalid", ascii(ref)[:200], "git allows no such name", hint="name a branch, a tag or refs/…"
        )
    return ref


def check_commit(commit: str) -> str:
    """A commit's full name. Raises SourceRefused (`git-ref-invalid`)."""
    if not _COMMIT.fullmatch(commit):
        raise SourceRefused(
            "git-ref-invalid", ascii(commit)[:200], "not the name of a commit", hint="give all 40 hex digits"
        )
    return commit


def candidates(ref: str) -> tuple[str, ...]:
    """The full names that a name may mean, the likeliest first: a branch before a tag, since pushes name branches."""
    if ref == "HEAD" or ref.startswith("refs/"):
        return (ref,)
    return (f"refs/heads/{ref}", f"refs/tags/{ref}")
