"""imageforge get: objects as they stand."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from imageforge.cli.kinds import POD, parse_kind, place
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.cli.rows import WIDE, rows_of
from runtime import NotFound, ObjectView

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")]
AllOption = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of every namespace.")]


def get(
    kind: Annotated[str, typer.Argument(help="Such as deployments, pods, svc, cm; or all.")],
    name: Annotated[str | None, typer.Argument(help="One object; all of them where it is left out.")] = None,
    namespace: NamespaceOption = "default",
    every: AllOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show objects: a table, or with -o yaml and -o json their manifests."""
    controller = objects()
    if "/" in kind and name is None:
        kind, _, name = kind.partition("/")
    chosen = None if kind.lower() == "all" else parse_kind(kind)
    where = None if every else place(chosen or "", namespace)
    if form in (Format.JSON, Format.YAML) and chosen != POD:
        views = [view for view in controller.views(chosen, where) if name in (None, view.name)]
        _require(views, chosen, name, namespace)
        _documents(views, form)
        return
    kinds = [chosen] if chosen else sorted({view.kind for view in controller.views(None, where)} | {POD})
    for number, each in enumerate(kinds):
        rows = [row for row in rows_of(controller, each, where) if name in (None, row["name"])]
        if chosen:
            _require(rows, chosen, name, namespace)
        if not rows and not chosen:
            continue
        if number and form is not Format.JSON:
            write("")
        columns = tuple(column for column in (rows[0] if rows else {}) if column not in ("namespace", *WIDE))
        wide = tuple(column for column in (rows[0] if rows else {}) if column in WIDE)
        if not chosen:
            rows = [{**row, "name": f"{each.lower()}/{row['name']}"} for row in rows]
        shown = ("namespace", *columns) if every else columns
        show(rows, columns=shown, wide=wide, form=form, empty=f"no {each} in {'any namespace' if every else namespace}")


def _documents(views: list[ObjectView], form: Format) -> None:
    found = [yaml.safe_load(view.manifest) for view in views]
    document(found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}, form)


def _require(found: list[Any], kind: str | None, name: str | None, namespace: str) -> None:
    if name is not None and not found:
        word = kind or "object"
        raise NotFound(
            "not-found", f"{word} {namespace}/{name}", "no such object", hint=f"imageforge get {word.lower()} -A"
        )
