"""imageforge get: objects as they stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from imageforge.cli.kinds import POD, parse_kind, place
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, document, show, write
from imageforge.report.amounts import target_of
from imageforge.report.units import age
from runtime import AutoscalerStatus, NotFound, ObjectView

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects

Row = dict[str, Any]
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


SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
"""Access modes as kubectl writes them."""
LIMITED = "ScalingLimited"
"""The one condition of an autoscaler that is well when it is False."""
WIDE = ("image", "address", "message", "selector", "last_scale")


def rows_of(controller: Objects, kind: str, namespace: str | None) -> Iterable[Row]:
    """A row for each object of a kind, with the columns that kubectl has for it."""
    make = _ROWS.get(kind)
    return _plain(controller, kind, namespace) if make is None else make(controller, namespace)


def _deployments(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for status in controller.deployments(namespace):
        yield {
            "namespace": status.namespace,
            "name": status.name,
            "ready": f"{status.ready}/{status.desired}",
            "up-to-date": status.updated,
            "available": status.available,
            "state": "paused" if status.paused else str(status.phase),
            "message": status.message,
        }


def _pods(controller: Objects, namespace: str | None) -> Iterable[Row]:
    now = time.time()
    for status in controller.deployments(namespace):
        for replica in status.replica_list:
            yield {
                "namespace": replica.namespace,
                "name": replica.name,
                "ready": replica.ready,
                "status": replica.phase,
                "restarts": replica.restarts,
                "age": age(now - replica.started_at) if replica.started_at else None,
                "address": replica.address,
                "image": replica.image,
                "message": replica.message,
            }
    for pod in controller.pods(namespace):
        yield {
            "namespace": pod.namespace,
            "name": pod.name,
            "ready": pod.ready,
            "status": pod.reason or str(pod.phase),
            "restarts": pod.restarts,
            "age": age(now - pod.created_at) if pod.created_at else None,
            "address": pod.address,
            "image": ",".join(container.image for container in pod.containers),
            "message": pod.message,
        }


def _services(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for service in controller.services(namespace):
        yield {
            "namespace": service.namespace,
            "name": service.name,
            "type": service.type,
            "cluster-ip": "None" if service.headless else service.address or None,
            "external-ip": service.external or None,
            "ports": ",".join(_port(port.port, port.node_port, "TCP") for port in service.ports),
            "hosts": ",".join(service.hosts),
            "endpoints": len(service.endpoints),
            "message": service.message,
        }


def _port(port: int, node_port: int, protocol: str) -> str:
    return f"{port}:{node_port}/{protocol}" if node_port else f"{port}/{protocol}"


def _jobs(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for job in controller.jobs(namespace):
        ends = job.finished_at or time.time()
        yield {
            "namespace": job.namespace,
            "name": job.name,
            "state": str(job.phase),
            "active": job.active,
            "succeeded": job.succeeded,
            "failed": job.failed,
            "duration": age(ends - job.started_at) if job.started_at else None,
            "message": job.message,
        }


def _cron_jobs(controller: Objects, namespace: str | None) -> Iterable[Row]:
    now = time.time()
    for job in controller.cron_jobs(namespace):
        yield {
            "namespace": job.namespace,
            "name": job.name,
            "schedule": job.schedule,
            "timezone": job.time_zone or None,
            "suspend": job.suspended,
            "active": job.active,
            "last": age(now - job.last_scheduled_at) if job.last_scheduled_at else None,
            "next": age(job.next_at - now) if job.next_at else None,
        }


def _autoscalers(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for status in controller.autoscalers(namespace):
        yield {
            "namespace": status.namespace,
            "name": status.name,
            "reference": f"Deployment/{status.target}",
            "targets": ", ".join(map(target_of, status.metrics)),
            "minpods": status.min_replicas,
            "maxpods": status.max_replicas,
            "replicas": status.current,
            "age": age(time.time() - status.created_at),
            "message": _trouble(status),
            "last_scale": age(time.time() - status.last_scaled_at) if status.last_scaled_at else None,
        }


def _trouble(status: AutoscalerStatus) -> str:
    return next((item.message for item in status.conditions if item.status == "False" and item.type != LIMITED), "")


def _secrets(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for secret in controller.secrets(namespace):
        yield {"namespace": secret.namespace, "name": secret.name, "data": len(secret.sizes)}


def _config_maps(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for row, made in _manifests(controller, "ConfigMap", namespace):
        yield {**row, "data": len(made.get("data") or {}) + len(made.get("binaryData") or {})}


def _ingresses(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for row, made in _manifests(controller, "Ingress", namespace):
        spec = made.get("spec") or {}
        hosts = [rule.get("host", "*") for rule in spec.get("rules") or ()]
        ports = "80, 443" if spec.get("tls") else "80"
        yield {**row, "class": spec.get("ingressClassName"), "hosts": ",".join(hosts) or "*", "ports": ports}


def _claims(controller: Objects, namespace: str | None) -> Iterable[Row]:
    for row, made in _manifests(controller, "PersistentVolumeClaim", namespace):
        spec = made["spec"]
        short = ",".join(SHORT.get(mode, mode) for mode in spec.get("accessModes") or ())
        requests = (spec.get("resources") or {}).get("requests") or {}
        yield {**row, "capacity": requests.get("storage"), "access_modes": short, "class": spec.get("storageClassName")}


def _manifests(controller: Objects, kind: str, namespace: str | None) -> Iterable[tuple[Row, Mapping[str, Any]]]:
    """Of kinds that are as they were applied and nothing more: how a row begins, and the manifest."""
    for view in controller.views(kind, namespace):
        yield {"namespace": view.namespace, "name": view.name}, yaml.safe_load(view.manifest)


def _plain(controller: Objects, kind: str, namespace: str | None) -> Iterable[Row]:
    for view in controller.views(kind, namespace):
        yield {"namespace": view.namespace, "name": view.name, "generation": view.generation}


_ROWS: Mapping[str, Callable[[Objects, str | None], Iterable[Row]]] = {
    "ConfigMap": _config_maps,
    "CronJob": _cron_jobs,
    "Deployment": _deployments,
    "HorizontalPodAutoscaler": _autoscalers,
    "Ingress": _ingresses,
    "Job": _jobs,
    "PersistentVolumeClaim": _claims,
    POD: _pods,
    "Secret": _secrets,
    "Service": _services,
}


def _documents(views: list[ObjectView], form: Format) -> None:
    found = [yaml.safe_load(view.manifest) for view in views]
    document(found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}, form)


def _require(found: list[Any], kind: str | None, name: str | None, namespace: str) -> None:
    if name is not None and not found:
        word = kind or "object"
        raise NotFound(
            "not-found", f"{word} {namespace}/{name}", "no such object", hint=f"imageforge get {word.lower()} -A"
        )
