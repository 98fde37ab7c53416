"""imageforge describe: one object, what it made and what happened to it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from imageforge.cli.events import COLUMNS, rows
from imageforge.cli.get import NamespaceOption
from imageforge.cli.kinds import POD, parse_target, place
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, facts, show, write
from imageforge.cli.rows import rows_of
from imageforge.report.amounts import metric_row
from runtime import Condition, NotFound

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects


def describe(
    word: Annotated[str, typer.Argument(metavar="KIND", help="Such as deployment; or KIND/NAME.")],
    name: Annotated[str | None, typer.Argument(help="The object.")] = None,
    namespace: NamespaceOption = "default",
) -> None:
    """Show an object, its state, what it made and what happened."""
    target = parse_target(word, name)
    namespace = place(target.kind, namespace)
    controller = objects()
    found = next((row for row in rows_of(controller, target.kind, namespace) if row["name"] == target.name), None)
    if found is None:
        raise NotFound(
            "not-found",
            f"{target.kind} {namespace}/{target.name}",
            "no such object",
            hint=f"imageforge get {target.kind.lower()} -A",
        )
    facts({"kind": target.kind, **found}, Format.TABLE)
    if target.kind == "Deployment":
        _deployment(controller, namespace, target.name)
    elif target.kind == "Job":
        (status,) = (item for item in controller.jobs(namespace) if item.name == target.name)
        _pods(controller, namespace, {pod.name for pod in status.pods})
    elif target.kind == "HorizontalPodAutoscaler":
        _autoscaler(controller, namespace, target.name)
    if target.kind != POD:
        _section("Manifest")
        (view,) = (view for view in controller.views(target.kind, namespace) if view.name == target.name)
        write(view.manifest.removeprefix("---\n").rstrip("\n"))
    happened = list(controller.events(namespace, target.kind, target.name))
    if happened:
        _section("Events")
        show(rows(happened), columns=tuple(name for name in COLUMNS if name != "object"), form=Format.TABLE)


def _deployment(controller: Objects, namespace: str, name: str) -> None:
    status = controller.deployment(namespace, name)
    _conditions(status.conditions)
    _pods(controller, namespace, {replica.name for replica in status.replica_list})


def _pods(controller: Objects, namespace: str, names: Container[str]) -> None:
    _section("Pods")
    mine = [row for row in rows_of(controller, POD, namespace) if row["name"] in names]
    show(mine, columns=("name", "ready", "status", "restarts", "age", "message"), form=Format.TABLE, empty="none")


def _autoscaler(controller: Objects, namespace: str, name: str) -> None:
    (status,) = (item for item in controller.autoscalers(namespace) if item.name == name)
    _section("Metrics")
    show([metric_row(item) for item in status.metrics], columns=("metric", "current", "target"), form=Format.TABLE)
    _conditions(status.conditions)


def _conditions(conditions: Iterable[Condition]) -> None:
    _section("Conditions")
    show(
        [{"type": item.type, "status": item.status, "reason": item.reason, "message": item.message}
         for item in conditions],
        columns=("type", "status", "reason", "message"),
        form=Format.TABLE,
        empty="none yet",
    )  # fmt: skip


def _section(title: str) -> None:
    write(f"\n{title}:")
