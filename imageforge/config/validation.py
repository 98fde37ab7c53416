"""pydantic's complaints, said in our words: of a file, and of a request to the API. The only place that does so."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

LONGEST = 60
"""Characters of a value that are shown; of a longer one its kind alone."""
PATTERNS: Mapping[str, str] = {
    r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$": "1 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and _, not beginning with a digit",
    r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$": "letters, digits, _, ., - and, of a host, :, beginning with none of . : -",
    r"^[^\x00]*$": "text without a NUL",
    r"^[^\x00-\x1f\x7f]+$": "text without control characters",
    r"^([0-9a-f]{40}|[0-9a-f]{64})$": "a whole commit: 40 or 64 of 0-9 and a-f",
    r"^[0-9a-f]{7,64}$": "a commit: 7 to 64 of 0-9 and a-f",
    r"^[a-z][-a-z0-9]*$": "a-z, 0-9 and -, beginning with a letter",
    r"^[0-9a-f]{12}$": "12 of 0-9 and a-f",
    r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$": "1 to 253 of a-z, 0-9, - and ., beginning and ending with none of - .",
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$": "1 to 63 of a-z, 0-9 and -, beginning and ending with none of -",
    r"^(-|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$": "a namespace, 1 to 63 of a-z, 0-9 and -; or - alone for none",
    r"^[A-Z][A-Za-z]{1,40}$": "a kind's name as Kubernetes writes it, such as Deployment",
}
"""What the patterns of the API's fields mean; a test compares them with the OpenAPI document."""
NUMBERS_AND_CHOICES = frozenset(
    (
        "int_parsing", "int_type", "int_from_float", "int_parsing_size", "float_parsing", "float_type", "bool_parsing",
        "bool_type", "greater_than", "greater_than_equal", "less_than", "less_than_equal", "literal_error", "enum",
    )
)  # fmt: skip
"""Complaints about a field that is no text: what stands there is no secret."""
PUBLIC_FIELDS = frozenset({"app", "name", "domain", "branch", "ref", "revision", "commit"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """The first thing wrong: dotted path of the key, what was expected, and the next step. `code` is the error's, where
    it has one of its own."""

    path: str
    message: str
    hint: str
    code: str | None = None


def first_problem(error: ValidationError, *, known: Sequence[str]) -> Problem:
    """The first of pydantic's complaints about a file. `known` are the keys at the level of an unknown one, for the
    suggestion."""
    detail = first_detail(error)
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        wrong = str(detail["loc"][-1])
        near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return Problem(path=path, message=f"unknown key `{wrong}`", hint=hint)
    if "-" in detail["type"]:  # one of ours; pydantic's own types have underscores
        hint = str(detail.get("ctx", {}).get("hint"))
        return Problem(path=path, message=detail["msg"], hint=hint, code=detail["type"])
    if detail["type"] == "missing":
        return Problem(path=path, message="it is missing", hint=f"add `{path.rpartition('.')[2]}`")
    message = _expected(detail, table="a table") + _got(detail.get("input"), shown=True)
    return Problem(path=path, message=message, hint="mend the value, or remove the key for its default")


def first_detail(error: ValidationError) -> Mapping[str, Any]:
    """The complaint that is told: of an unknown key before a missing one, which is often the same key misspelt."""
    details = error.errors(include_url=False, include_context=True)
    return next((one for one in details if one["type"] == "extra_forbidden"), details[0])


def request_problem(detail: Mapping[str, Any]) -> Problem:
    """One of pydantic's complaints about a request. A text that may be a secret is not repeated."""
    parts = [str(part)[:80] for part in detail["loc"]]
    path, last = ".".join(parts) or "body", parts[-1] if parts else "body"
    hint = "the fields are described at /docs"
    if detail["type"] == "missing":
        return Problem(path=path, message="it is missing", hint=f"send it; {hint}")
    if detail["type"] == "extra_forbidden":
        return Problem(path=path, message=f"unknown field `{last}`", hint=hint)
    said = _expected(detail, table="an object")
    if detail["type"] == "json_invalid":
        return Problem(path=path, message=said, hint=hint)
    shown = detail["type"] in NUMBERS_AND_CHOICES or last in PUBLIC_FIELDS
    return Problem(path=path, message=said + _got(detail.get("input"), shown=shown), hint=hint)


Say = Callable[[Mapping[str, Any]], str]
WORDS: Mapping[str, str | Say] = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_unicode": "a text of valid Unicode",
    "list_type": "a list",
    "tuple_type": "a list",
    "date_type": "a date such as 2027-01-31",
    "date_parsing": "a date such as 2027-01-31",
    "date_from_datetime_parsing": "a date such as 2027-01-31",
    "date_from_datetime_inexact": "a date such as 2027-01-31",
    "greater_than": lambda about: f"more than {about['gt']}",
    "greater_than_equal": lambda about: f"at least {about['ge']}",
    "less_than": lambda about: f"less than {about['lt']}",
    "less_than_equal": lambda about: f"at most {about['le']}",
    "string_too_short": lambda about: f"at least {_counted(about['min_length'], 'character')}",
    "string_too_long": lambda about: f"at most {_counted(about['max_length'], 'character')}",
    "too_short": lambda about: f"at least {_counted(about['min_length'], 'item')}",
    "too_long": lambda about: f"at most {_counted(about['max_length'], 'item')}",
    "literal_error": lambda about: str(about["expected"]),
    "enum": lambda about: str(about["expected"]),
    "string_pattern_mismatch": lambda about: PATTERNS.get(about["pattern"], f"what matches {about['pattern']}"),
}
TABLES = frozenset({"dict_type", "model_type", "model_attributes_type", "mapping_type"})


def _expected(detail: Mapping[str, Any], *, table: str) -> str:
    kind, about = str(detail["type"]), detail.get("ctx") or {}
    if kind == "json_invalid":
        return f"not JSON: {about.get('error', detail['msg'])}"
    if kind in TABLES:
        return f"expected {table}"
    words = WORDS.get(kind)
    if words is not None:
        return f"expected {words if isinstance(words, str) else words(about)}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def _got(value: object, *, shown: bool) -> str:
    """`, got 'many'`; the kind alone of what is long or is not to be repeated."""
    text = repr(value)
    if (shown or isinstance(value, bool | int | float | None)) and len(text) <= LONGEST:
        return f", got {text}"
    if isinstance(value, str):
        return f", got a text of {_counted(len(value), 'character')}"
    kinds: tuple[tuple[type, str], ...] = ((dict, "an object"), (list, "a list"), (int, "a large number"))
    return next((f", got {name}" for kind, name in kinds if isinstance(value, kind)), "")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
