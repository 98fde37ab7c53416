"""The rows of `get`: of each kind the columns that kubectl has for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from imageforge.cli.kinds import POD
from imageforge.report.amounts import target_of
from imageforge.report.units import age, replica_age
from runtime import AutoscalerStatus

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects

Row = dict[str, Any]
WIDE = ("image", "address", "message", "selector", "last_scale")
"""Columns that -o wide adds."""
SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
"""Access modes as kubectl writes them."""
LIMITED = "ScalingLimited"
"""The one condition of an autoscaler that is well when it is False."""


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
                "age": replica_age(replica, now),
                "address": replica.address,
                "image": replica.image,
                "message": replica.message,
            }
    of_jobs = (pod for job in controller.jobs(namespace) for pod in job.pods)
    for pod in (*of_jobs, *controller.pods(namespace)):
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
