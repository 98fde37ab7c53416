"""Header names: HTTP's are case-insensitive, a Mapping's keys are not."""

from __future__ import annotations

from collections.abc import Mapping


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers under lower-case names, without the white space around a value."""
    return {name.lower(): value.strip() for name, value in headers.items()}
