"""pydantic's report of a bad file, said in our words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """The first thing wrong in a file: dotted path of the key, what was expected, and the next step. `code` is the
    error's, where it has one of its own."""

    path: str
    message: str
    hint: str
    code: str | None = None


def first_problem(error: ValidationError, *, known: Sequence[str]) -> Problem:
    """The first of pydantic's complaints. `known` are the keys at the level of an unknown one, for the suggestion."""
    detail = error.errors(include_url=False, include_context=True)[0]
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        wrong = str(detail["loc"][-1])
        near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return Problem(path=path, message=f"unknown key `{wrong}`", hint=hint)
    if "-" in detail["type"]:  # one of ours; pydantic's own types have underscores
        hint = str(detail.get("ctx", {}).get("hint"))
        return Problem(path=path, message=detail["msg"], hint=hint, code=detail["type"])
    message = detail["msg"].removeprefix("Value error, ")
    shown = repr(detail.get("input"))
    if len(shown) <= 60 and detail["type"] != "missing":
        message = f"{message[0].lower()}{message[1:]}, got {shown}"
    if detail["type"] == "missing":
        return Problem(path=path, message="it is missing", hint=f"add `{path.rpartition('.')[2]}`")
    return Problem(path=path, message=message, hint="mend the value, or remove the key for its default")
