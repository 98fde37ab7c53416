"""imageforge doctor: what is needed, what was found, and how to mend what is missing."""

from __future__ import annotations

import sys

import typer

from imageforge.cli.output import Format, FormatOption, document, write
from imageforge.cli.state import Workplace
from imageforge.stack.doctor import Level, examine

SIGNS = {Level.OK: "ok  ", Level.NOTE: "note", Level.WARNING: "warn", Level.MISSING: "FAIL"}
COLOURS = {
    Level.OK: typer.colors.GREEN,
    Level.NOTE: None,
    Level.WARNING: typer.colors.YELLOW,
    Level.MISSING: typer.colors.RED,
}


def doctor(form: FormatOption = Format.TABLE) -> None:
    """Check everything imageforge needs; a line a check, with the fix. Exit code 4 when something needed is missing."""
    here = Workplace.here()
    checks = examine(here.home, here.settings)
    if form in (Format.JSON, Format.YAML):
        document([check.as_json() for check in checks], form)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            sign = (
                typer.style(SIGNS[check.level], fg=COLOURS[check.level]) if sys.stdout.isatty() else SIGNS[check.level]
            )
            write(f"{sign}  {check.name:<{width}}  {check.found}")
            if check.fix:
                write(f"      {'':<{width}}  fix: {check.fix}")
    if any(check.level is Level.MISSING for check in checks):
        raise typer.Exit(4)
