"""imageforge events: what happened."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from imageforge.cli.get import AllOption, NamespaceOption
from imageforge.cli.kinds import parse_target
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, show, write
from imageforge.report.units import age
from runtime import Event

COLUMNS = ("last_seen", "type", "reason", "object", "count", "message")


def events(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, with what comes.")] = False,
    of: Annotated[str | None, typer.Option("--for", metavar="KIND/NAME", help="Those of one object.")] = None,
    namespace: NamespaceOption = "default",
    every: AllOption = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what happened to objects, the latest last."""
    controller = objects()
    target = parse_target(of) if of else None
    kind, name = (target.kind, target.name) if target else (None, None)
    found = controller.events(None if every else namespace, kind, name, follow=watch)
    if not watch:
        show(rows(found), columns=COLUMNS, form=form, empty="nothing is remembered")
        return
    for event in found:
        write(line(event))


def rows(found: Iterable[Event]) -> list[dict[str, Any]]:
    """A row for each."""
    now = time.time()
    return [
        {
            "last_seen": age(now - event.last_at),
            "type": type_of(event),
            "reason": event.reason,
            "object": _object(event),
            "count": event.count,
            "message": event.message,
            "namespace": event.namespace,
            "first_at": event.first_at,
            "last_at": event.last_at,
        }
        for event in found
    ]


def line(event: Event) -> str:
    """One that comes."""
    at = time.strftime("%H:%M:%S", time.localtime(event.last_at))
    times = f" (x{event.count})" if event.count > 1 else ""
    return f"{at} {type_of(event):7} {event.reason:20} {_object(event)}: {event.message}{times}"


def type_of(event: Event) -> str:
    """Kubernetes' two types."""
    return "Warning" if event.warning else "Normal"


def _object(event: Event) -> str:
    return f"{event.kind.lower()}/{event.name}"
