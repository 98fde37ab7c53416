"""imageforge expose: a Service for a Deployment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from imageforge.cli.get import NamespaceOption
from imageforge.cli.kinds import only, parse_target
from imageforge.cli.objects import objects
from imageforge.cli.output import say, write
from imageforge.errors import ForgeError, UsageError
from runtime import NotFound, ObjectView, RuntimeFailure, ServiceStatus, dump_manifests

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects

HOST_ANNOTATION = "imageforge.io/host"
ROUTE_SECONDS = 15.0
"""How long the balancer is waited for: HAProxy has a new Service after a reload, which takes five seconds at most."""
LOOK_SECONDS = 0.05


def expose(
    word: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as deployment/web.")],
    port: Annotated[int | None, typer.Option("--port", help="The Service's port; the container's if left out.")] = None,
    target_port: Annotated[
        int | None, typer.Option("--target-port", help="The container's; --port if left out.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The Service's; the Deployment's if left out.")] = None,
    kind: Annotated[str, typer.Option("--type", help="ClusterIP, NodePort or LoadBalancer.")] = "ClusterIP",
    host: Annotated[str | None, typer.Option("--host", help="A host name that leads there, on the entry port.")] = None,
    namespace: NamespaceOption = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest, and apply nothing.")] = False,
) -> None:
    """Make a Service that leads requests to a Deployment.

    It has the Deployment's labels and ports. Another Service of that name is left as it is. It returns once the
    balancer leads there.
    """
    target = only(parse_target(word), "Deployment")
    controller = objects()
    view = _find(controller, target.kind, namespace, target.name)
    if view is None:
        raise NotFound(
            "not-found", f"Deployment {namespace}/{target.name}", "no such object", hint="imageforge get deploy"
        )
    made = service(yaml.safe_load(view.manifest), name or target.name, port, target_port, kind, host)
    text = dump_manifests([made])
    if dry_run:
        write(text.rstrip("\n"))
        return
    there = _find(controller, "Service", namespace, made["metadata"]["name"])
    if there is not None:
        refuse_other(yaml.safe_load(there.manifest), made, host)
    (done,) = controller.apply(text, source="expose")
    write(f"service/{done.name} {done.change}")
    if done.change == "unchanged":
        return
    try:
        note = await_route(lambda: _service(controller, namespace, done.name))
    except (ForgeError, RuntimeFailure) as error:  # the Service is made all the same
        note = f"whether the balancer leads there is not known: {error.message}"
    if note:
        say(f"  note: {note}")


def await_route(
    look: Callable[[], ServiceStatus | None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Wait until the balancer has a Service as it stands, which `look` tells; what a request may meet all the same,
    empty where it is answered by a replica."""
    deadline = clock() + ROUTE_SECONDS
    while (found := look()) is not None and not found.served:
        if clock() >= deadline:
            why = f": {found.message}" if found.message else ""
            return (
                f"the balancer does not lead there yet, {ROUTE_SECONDS:.0f} s after{why}; "
                "imageforge status shows how it stands"
            )
        sleep(LOOK_SECONDS)
    if found is None:
        return "it was deleted meanwhile"
    if not found.endpoints:
        return "no replica is ready: requests are answered with 503 until one is"
    return ""


def _service(controller: Objects, namespace: str, name: str) -> ServiceStatus | None:
    return next((item for item in controller.services(namespace) if item.name == name), None)


def _find(controller: Objects, kind: str, namespace: str, name: str) -> ObjectView | None:
    return next((item for item in controller.views(kind, namespace) if item.name == name), None)


def refuse_other(there: dict[str, Any], made: dict[str, Any], host: str | None) -> None:
    """Raise UsageError (`already-exists`) unless both are the same, but for the host: what is there was made by a file
    or by somebody else, and others may ask at its ports."""

    def compared(one: dict[str, Any]) -> dict[str, Any]:
        meta = dict(one["metadata"])
        said = {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key != HOST_ANNOTATION}
        return {**one, "metadata": {**meta, "annotations": said}}

    if compared(there) == compared(made):
        return
    name = made["metadata"]["name"]
    raise UsageError(
        "already-exists",
        f"Service {made['metadata']['namespace']}/{name}",
        "there is one of this name, with other ports, labels or annotations",
        hint=(
            f"write the annotation {HOST_ANNOTATION}: {host} in its file, or --name NAME for another Service"
            if host
            else "--name NAME for another Service"
        ),
        kept="nothing was changed",
    )


def service(
    deployment: dict[str, Any], name: str, port: int | None, target: int | None, kind: str, host: str | None
) -> dict[str, Any]:
    """The manifest. Raises UsageError (`port-missing`) where the containers name no port and nobody else does."""
    spec, meta = deployment["spec"], deployment["metadata"]
    said = [item for one in spec["template"]["spec"]["containers"] for item in one.get("ports") or []]
    ports: list[dict[str, Any]]
    if port or target:
        ports = [{"port": port or target, "targetPort": target or port}]
    elif said:
        ports = [
            {"port": item["containerPort"], "targetPort": item.get("name", item["containerPort"])} for item in said
        ]
    else:
        raise UsageError("port-missing", f"Deployment {meta['name']}", "its containers name no port", hint="--port N")
    if host and len(ports) == 1:
        ports[0]["name"] = "http"
    elif len(ports) > 1:
        ports = [{"name": item.get("name") or f"port-{number}", **one}
                 for number, (item, one) in enumerate(zip(said, ports, strict=True), 1)]  # fmt: skip
    annotations = {"annotations": {HOST_ANNOTATION: host}} if host else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": meta.get("namespace", "default"), **annotations},
        "spec": {"type": kind, "selector": dict(spec["selector"]["matchLabels"]), "ports": ports},
    }
