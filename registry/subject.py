"""The tag that stands for what is attached to a manifest, where a registry has no API for it (OCI distribution 1.1,
"referrers tag schema"); in a layout it is the name of the same."""

from __future__ import annotations

import re

_TAG = re.compile(r"sha(256|512)-[0-9a-f]{64}")


def fallback_tag(digest: str) -> str:
    """The tag that stands for the referrers of a manifest where there is no API for them."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def subject_of_tag(tag: str | None) -> str | None:
    """The digest of a manifest whose referrers a tag stands for; None of other tags."""
    return tag.replace("-", ":", 1) if tag and _TAG.fullmatch(tag) else None
