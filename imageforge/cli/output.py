"""Data on stdout, in the form that was asked for: a table, JSON, YAML or Markdown."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from tabulate import tabulate

from imageforge.cli.verbosity import VERBOSITY


class Format(StrEnum):
    """The values of --format."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


_GAP, _PADDING = 2, 2
"""Between two columns, and of a heading, as tabulate sets them."""
_NARROWEST = 30
"""A column of sentences is not folded to fewer characters: it would be a column of words."""

FormatOption = Annotated[Format, typer.Option("--format", "-o", help="How to show it.")]


def show(
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Sequence[str],
    wide: Sequence[str] = (),
    form: Format,
    empty: str = "",
) -> None:
    """Print rows. JSON and YAML get every key; tables get `columns`, and `wide` ones too where asked for."""
    if form in (Format.JSON, Format.YAML):
        document(list(rows), form)
        return
    names = [*columns, *(wide if form is Format.WIDE else ())]
    if not rows and form is not Format.MARKDOWN:
        if empty:
            sys.stderr.write(f"{empty}\n")
        return
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    heads = [name.replace("_", " ").upper() for name in names]
    if form is Format.MARKDOWN:
        write(tabulate(cells, headers=[head.capitalize() for head in heads], tablefmt="github"))
    else:
        terminal = sys.stdout.isatty()
        # `wide` asks for whole lines, and a pipe for one line a row.
        folds = folded(heads, cells, shutil.get_terminal_size().columns) if terminal and form is Format.TABLE else None
        style = "simple" if terminal else "plain"
        write(tabulate(cells, headers=heads, tablefmt=style, disable_numparse=True, maxcolwidths=folds))


def facts(found: Mapping[str, Any], form: Format) -> None:
    """Print one thing as a table of names and values."""
    rows = [[name, _cell(value)] for name, value in found.items()]
    if form is Format.MARKDOWN:
        write(tabulate(rows, headers=["", ""], tablefmt="github", disable_numparse=True))
    else:
        folds = folded(["", ""], rows, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
        write(tabulate(rows, tablefmt="plain", disable_numparse=True, maxcolwidths=folds))


def folded(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int | None] | None:
    """Where to fold columns so that a table fits `width` characters; None where nothing needs to be or can be.

    Only columns of sentences are folded, the widest first: what has no space is a name, and is copied whole.
    """
    padded = [len(head) + (_PADDING if head else 0) for head in heads]
    widths = [max(pad, *(len(row[at]) for row in cells)) for at, pad in enumerate(padded)] if cells else padded
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    limits: list[int | None] = [None] * len(widths)
    for at in sorted(range(len(widths)), key=lambda at: -widths[at]):
        if over > 0 and widths[at] > _NARROWEST and any(" " in row[at] for row in cells):
            limits[at] = max(_NARROWEST, widths[at] - over)
            over -= widths[at] - (limits[at] or 0)
    return limits if any(limits) else None


def document(value: Any, form: Format) -> None:
    """Print a value as JSON or YAML."""
    if form is Format.YAML:
        write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        write(json.dumps(value, indent=2, ensure_ascii=False))


def write(text: str) -> None:
    """Print to stdout."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Print to stderr what is not data; --quiet leaves it out."""
    if not VERBOSITY.quiet:
        sys.stderr.write(f"{text}\n")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
