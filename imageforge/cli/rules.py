"""imageforge rules: every rule, or the page of one."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.errors import UsageError
from linters import rules as catalog


def rules(
    rule_id: Annotated[str | None, typer.Argument(metavar="ID", help="Such as IF101.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the lint rules, or show one.

    With an ID: why it is a rule, a bad and a good example, and the fix.
    """
    rows = [
        {"id": rule.id, "severity": rule.severity.value, "principle": rule.principle.value, "title": rule.title}
        for rule in catalog()
    ]
    if rule_id is None:
        show(rows, columns=("id", "severity", "principle", "title"), form=form)
        return
    found = next((rule for rule in catalog() if rule.id == rule_id.upper()), None)
    if found is None:
        raise UsageError(
            "no-such-rule", rule_id, "there is no rule of ours with this ID", hint="imageforge rules lists them"
        )
    if form in (Format.JSON, Format.YAML):
        row = next(row for row in rows if row["id"] == found.id)
        document({**row, "page": found.page}, form)
    else:
        write(found.page.rstrip("\n"))
