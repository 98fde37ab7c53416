"""An error in words, whoever it is told to: a terminal, a pusher, the reader of a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imageforge.errors import Failure


def render(failure: Failure) -> str:
    """First line: code, object, what happened; then what is still true; then the next step."""
    return _lines(failure.code, failure.subject, failure.message, failure.kept, failure.hint)


def render_stored(error: Mapping[str, Any], subject: str) -> str:
    """The same of an error as a build's row has it; `subject` where it names none."""
    return _lines(
        str(error["code"]),
        str(error.get("subject") or subject),
        str(error["message"]),
        error.get("kept"),
        error.get("hint"),
    )


def _lines(code: str, subject: str, message: str, kept: str | None, hint: str | None) -> str:
    lines = [f"error[{code}]: {subject}: {message}"]
    if kept:
        lines.append(f"  kept: {kept}")
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)
