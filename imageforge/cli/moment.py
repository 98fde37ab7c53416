"""How a moment of the past is said: by how long ago it was, or as RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from imageforge.errors import UsageError

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration(text: str) -> float:
    """``90s``, ``5m``, ``2h30m`` in seconds. Raises UsageError (`invalid-duration`)."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(
            "invalid-duration", text, "expected a duration with its units", hint="such as 90s, 5m or 2h30m"
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def moment(text: str) -> float:
    """``2026-11-27T13:00:00Z`` in Unix seconds. Raises UsageError (`invalid-time`)."""
    hint = "such as 2026-11-27T13:00:00Z, or with +01:00 for Z"
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("invalid-time", text, "expected a time as RFC 3339 has it", hint=hint) from error
    if found.tzinfo is None:
        raise UsageError("invalid-time", text, "it names no time zone", hint=hint)
    return found.timestamp()


def stamp(at: float) -> str:
    """Unix seconds as RFC 3339, in UTC, with microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
