"""imageforge get: objects as they stand."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from imageforge.cli.kinds import POD, parse_kind, parse_kinds, place
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.cli.rows import WIDE, rows_of
from imageforge.errors import UsageError
from runtime import NotFound, ObjectView

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")]
AllOption = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of every namespace.")]


def get(
    kind: Annotated[str, typer.Argument(help="Such as deployments, svc or deploy,svc; KIND/NAME; or all.")],
    name: Annotated[str | None, typer.Argument(help="One object; all of them where it is left out.")] = None,
    namespace: NamespaceOption = "default",
    every: AllOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show objects in a table. With -o yaml and -o json it is their manifests."""
    controller = objects()
    if "/" in kind and name is None:
        kind, _, name = kind.partition("/")
    several = parse_kinds(kind) if "," in kind else []
    if several and name is not None:
        raise UsageError("one-kind", kind, "an object is of one kind", hint=f"imageforge get {kind}, without a name")
    chosen = None if several or kind.lower() == "all" else parse_kind(kind)
    where = None if every else place(chosen or "", namespace)
    if form in (Format.JSON, Format.YAML) and chosen != POD and POD not in several:
        asked: list[str | None] = [*several] or [chosen]
        found = [view for each in asked for view in controller.views(each, _where(each, where))]
        views = [view for view in found if name in (None, view.name)]
        _require(views, chosen, name, namespace)
        _documents(views, form)
        return
    if several and form in (Format.JSON, Format.YAML):
        raise UsageError(
            "one-kind", kind, "pods have no manifest of their own here", hint=f"imageforge get po -o {form}"
        )
    kinds = [chosen] if chosen else several or sorted({view.kind for view in controller.views(None, where)} | {POD})
    begun = False
    for each in kinds:
        rows = [row for row in rows_of(controller, each, _where(each, where)) if name in (None, row["name"])]
        if chosen:
            _require(rows, chosen, name, namespace)
        if not rows and not (chosen or several):
            continue
        if begun:
            write("")
        begun = bool(rows)
        columns = tuple(column for column in (rows[0] if rows else {}) if column not in ("namespace", *WIDE))
        wide = tuple(column for column in (rows[0] if rows else {}) if column in WIDE)
        if not chosen:
            rows = [{**row, "name": f"{each.lower()}/{row['name']}"} for row in rows]
        shown = ("namespace", *columns) if every else columns
        show(rows, columns=shown, wide=wide, form=form, empty=f"no {each} in {'any namespace' if every else namespace}")


def _where(kind: str | None, where: str | None) -> str | None:
    """A namespace, for objects of a kind: None is any."""
    return None if where is None else place(kind or "", where)


def _documents(views: list[ObjectView], form: Format) -> None:
    found = [yaml.safe_load(view.manifest) for view in views]
    document(found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}, form)


def _require(found: list[Any], kind: str | None, name: str | None, namespace: str) -> None:
    if name is not None and not found:
        word = kind or "object"
        raise NotFound(
            "not-found", f"{word} {namespace}/{name}", "no such object", hint=f"imageforge get {word.lower()} -A"
        )
