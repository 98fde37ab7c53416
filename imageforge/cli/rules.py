"""imageforge rules: every rule, or the page of one."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.errors import UsageError
from linters import Rule
from linters import rules as catalog
from linters.suggest import meant_rule, nearest


def rules(
    rule_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Such as IF101, a hadolint code, or a check of BuildKit's.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the lint rules, or show one.

    With an ID: why it is a rule, a bad and a good example, the fix, and the options that [lint] rules may set.
    """
    if rule_id is None:
        rows = [_row(rule) for rule in catalog()]
        show(rows, columns=("id", "severity", "principle", "title"), wide=("buildkit", "hadolint"), form=form)
        return
    found = _find(rule_id)
    if found is None:
        known = [rule.id for rule in catalog()]
        near = meant_rule(rule_id, known) or nearest(rule_id.upper(), known)
        raise UsageError(
            "no-such-rule",
            rule_id,
            "there is no rule of ours with this ID",
            hint=_page_of_others(rule_id) or (f"did you mean {near}?" if near else "imageforge rules lists them"),
        )
    if form in (Format.JSON, Format.YAML):
        document({**_row(found), "page": found.page}, form)
    else:
        write(found.page.rstrip("\n") + _options(found))


def _find(name: str) -> Rule | None:
    """The rule of an id, of a check of BuildKit's, or the first one that stands for a hadolint code."""
    wanted = name.upper()
    for rule in catalog():
        if wanted in (rule.id, rule.alias.upper()):
            return rule
    return next((rule for rule in catalog() if wanted in rule.covers), None)


def _page_of_others(name: str) -> str | None:
    """Where hadolint and ShellCheck explain a code of theirs that no rule of ours stands for."""
    code = name.upper()
    if re.fullmatch(r"DL[0-9]{4}", code):
        return f"it is hadolint's: https://github.com/hadolint/hadolint/wiki/{code}"
    if re.fullmatch(r"SC[0-9]{4}", code):
        return f"it is ShellCheck's: https://www.shellcheck.net/wiki/{code}"
    return None


def _row(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "severity": rule.severity.value,
        "principle": rule.principle.value,
        "title": rule.title,
        "buildkit": rule.alias or None,
        "hadolint": ", ".join(sorted(rule.covers)) or None,
        "options": [{"name": one.name, "default": one.default, "help": one.help} for one in rule.options],
    }


def _options(rule: Rule) -> str:
    lines = [f"- `{one.name}` ({one.default!r}): {one.help}" for one in rule.options]
    return "\n\n## Options\n\n" + "\n".join(lines) if lines else ""
