"""imageforge top: what replicas, Services and the machine use and do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from imageforge.cli.get import AllOption, NamespaceOption
from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.report.amounts import cpu, mebibytes, percent, rate
from runtime import ControllerClient, NodeFigures, ReplicaFigures, ServiceFigures

REFRESH_SECONDS = 5.0
CLEAR = "\x1b[H\x1b[J"
Row = dict[str, Any]


class What(StrEnum):
    """Whose figures."""

    PODS = "pods"
    SERVICES = "services"
    NODE = "node"


PODS = ("name", "cpu", "cpu%", "memory", "memory%", "restarts", "req/s")
PODS_WIDE = ("deployment", "ready", "cpu_request", "cpu_limit", "memory_request", "memory_limit", "requests")
SERVICES = ("name", "replicas", "req/s", "errors/s", "errors", "retries", "queue", "now", "avg_response", "avg_total")
SERVICES_WIDE = ("requests", "5xx", "failed", "redispatched", "avg_queue", "avg_connect")
NODE = ("resource", "capacity", "reserved", "reserved%", "replicas", "used", "used%")


def top(
    word: Annotated[str, typer.Argument(metavar="WHAT", help="pods, services or node.")] = "pods",
    namespace: NamespaceOption = "default",
    every: AllOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, on a terminal.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what pods use, or services, or the node. Figures are those that autoscalers see."""
    what = _parse(word)
    if watch and not (sys.stdout.isatty() and form in (Format.TABLE, Format.WIDE)):
        raise UsageError(
            "needs-terminal",
            "--watch",
            "it draws a table on a terminal again and again",
            hint="leave --watch out, or leave out --format and do not redirect the output",
        )
    controller = Workplace.here().controller()
    while True:
        shown = _look(controller, what, None if every else namespace, form, clear=watch, every=every)
        if not watch:
            return
        time.sleep(max(0.0, REFRESH_SECONDS - shown))


_WORDS = {
    **dict.fromkeys(("pods", "pod", "po"), What.PODS),
    **dict.fromkeys(("services", "service", "svc"), What.SERVICES),
    **dict.fromkeys(("node", "nodes", "no"), What.NODE),
}
"""With kubectl's."""


def _parse(word: str) -> What:
    found = _WORDS.get(word.lower())
    if found is None:
        raise UsageError("unknown-kind", word, "no figures are kept of this", hint="pods, services or node")
    return found


def _look(
    controller: ControllerClient, what: What, namespace: str | None, form: Format, *, clear: bool, every: bool
) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    found = _ASK[what](controller, namespace)
    if clear:
        sys.stdout.write(CLEAR)
    if form in (Format.JSON, Format.YAML):
        plain = [asdict(item) for item in found]
        document(plain[0] if what is What.NODE else plain, form)
        return time.monotonic() - began
    rows, columns, wide = _table(what, found)
    if every and what is not What.NODE:
        columns = ("namespace", *columns)
    where = "any namespace" if namespace is None else namespace
    show(rows, columns=columns, wide=wide, form=form, empty=f"no {what} in {where}")
    if clear and not rows:
        write("")
    return time.monotonic() - began


_ASK: dict[What, Callable[[ControllerClient, str | None], tuple[Any, ...]]] = {
    What.PODS: lambda controller, namespace: controller.top_replicas(namespace),
    What.SERVICES: lambda controller, namespace: controller.top_services(namespace),
    What.NODE: lambda controller, _: (controller.top_node(),),
}


def _table(what: What, found: Iterable[Any]) -> tuple[list[Row], tuple[str, ...], tuple[str, ...]]:
    if what is What.PODS:
        return [pod_row(item) for item in found], PODS, PODS_WIDE
    if what is What.SERVICES:
        return [service_row(item) for item in found], SERVICES, SERVICES_WIDE
    return [row for item in found for row in node_rows(item)], NODE, ()


def pod_row(item: ReplicaFigures) -> Row:
    """A replica; percentages are of what it requests and of its limit."""
    return {
        "namespace": item.namespace,
        "name": item.name,
        "deployment": item.deployment,
        "ready": item.ready,
        "cpu": cpu(item.cpu),
        "cpu%": _shares(item.cpu, item.cpu_request, item.cpu_limit),
        "memory": mebibytes(item.memory),
        "memory%": _shares(item.memory, item.memory_request, item.memory_limit),
        "restarts": item.restarts,
        "req/s": rate(item.requests_per_second),
        "requests": item.requests,
        "cpu_request": cpu(item.cpu_request),
        "cpu_limit": cpu(item.cpu_limit),
        "memory_request": mebibytes(item.memory_request),
        "memory_limit": mebibytes(item.memory_limit),
    }


def _shares(used: int | None, request: int | None, most: int | None) -> str | None:
    """`80%/40%`: of the request, and of the limit."""
    of_request, of_limit = percent(used, request), percent(used, most)
    return None if of_request is None and of_limit is None else f"{of_request or '-'}/{of_limit or '-'}"


def service_row(item: ServiceFigures) -> Row:
    """A Service; times are the means of its last 1024 requests."""
    counted = item.counters
    return {
        "namespace": item.namespace,
        "name": item.name,
        "replicas": item.replicas,
        "requests": counted.requests,
        "req/s": rate(item.requests_per_second),
        "errors/s": rate(item.errors_per_second),
        "errors": counted.errors_5xx + counted.failed,
        "5xx": counted.errors_5xx,
        "failed": counted.failed,
        "retries": counted.retried,
        "redispatched": counted.redispatched,
        "queue": counted.queued,
        "now": counted.in_flight,
        "avg_queue": f"{counted.queue_ms} ms",
        "avg_connect": f"{counted.connect_ms} ms",
        "avg_response": f"{counted.response_ms} ms",
        "avg_total": f"{counted.total_ms} ms",
    }


def node_rows(item: NodeFigures) -> list[Row]:
    """The machine, a line for CPU and one for memory."""
    return [
        {
            "resource": "cpu",
            "capacity": cpu(item.cpu),
            "reserved": cpu(item.cpu_reserved),
            "reserved%": percent(item.cpu_reserved, item.cpu),
            "replicas": cpu(item.cpu_replicas),
            "used": cpu(item.cpu_used),
            "used%": percent(item.cpu_used, item.cpu),
        },
        {
            "resource": "memory",
            "capacity": mebibytes(item.memory),
            "reserved": mebibytes(item.memory_reserved),
            "reserved%": percent(item.memory_reserved, item.memory),
            "replicas": mebibytes(item.memory_replicas),
            "used": mebibytes(item.memory_used),
            "used%": percent(item.memory_used, item.memory),
        },
    ]
