"""networking.k8s.io/v1 Ingress: its shape, and the way from a checked tree to its value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.manifest.cursor import Cursor
from runtime.manifest.routing import ANY_HOST, Ingress, IngressRoute, IngressTls, PathType, Target
from runtime.manifest.schema import (
    HTTP_PATH,
    PORT_NAME,
    SECRET_NAME,
    SERVICE_NAME,
    Many,
    Object,
    Text,
    Whole,
    metadata,
    words,
)

HOST = re.compile(r"(?=.{1,253}$)(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
FOREIGN = re.compile(r"[a-z0-9.-]*(nginx|traefik|haproxy|alb|istio|kong|contour)[a-z0-9.-]*/.*")
"""Annotations by which other controllers are told to do something else than what the Ingress says."""
_BACKEND = Object(
    fields={
        "service": Object(
            fields={
                "name": Text(pattern=SERVICE_NAME, says="the name of a Service"),
                "port": Object(
                    fields={
                        "number": Whole(low=1, high=65535),
                        "name": Text(pattern=PORT_NAME, says="the name of a port"),
                    }
                ),
            },
            required=("name", "port"),
        )
    },
    known=words("resource"),
)

INGRESS = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(SECRET_NAME),
        "spec": Object(
            fields={
                "ingressClassName": SECRET_NAME,
                "defaultBackend": _BACKEND,
                "rules": Many(
                    item=Object(
                        fields={
                            "host": Text(pattern=HOST, says="a host name such as shop.example.org or *.example.org"),
                            "http": Object(
                                fields={
                                    "paths": Many(
                                        item=Object(
                                            fields={
                                                "path": Text(pattern=HTTP_PATH, says="a URL path without spaces"),
                                                "pathType": Text(choices=tuple(PathType)),
                                                "backend": _BACKEND,
                                            },
                                            required=("pathType", "backend"),
                                        ),
                                        least=1,
                                    )
                                },
                                required=("paths",),
                            ),
                        },
                    )
                ),
                "tls": Many(
                    item=Object(
                        fields={
                            "hosts": Many(item=Text(pattern=HOST, says="a host name")),
                            "secretName": SECRET_NAME,
                        }
                    )
                ),
            },
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)


def ingress(root: Cursor) -> Ingress:
    """An Ingress from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    annotations = meta.get("annotations").plain({})
    foreign = next((key for key in annotations if FOREIGN.fullmatch(key)), None)
    if foreign:
        raise (
            meta.get("annotations")
            .get(foreign)
            .fail(
                "unsupported-field",
                " tells another controller what to do, and imageforge would not do it",
                hint="remove it, or keep it in a manifest for the cluster alone",
            )
        )
    default = _target(spec.get("defaultBackend")) if not spec.get("defaultBackend").node.says_nothing else None
    rules = spec.get("rules").items()
    if not rules and default is None:
        raise spec.fail("missing-field", ".rules is missing: without a defaultBackend there is nothing to lead to")
    routes = [route for rule in rules for route in _routes(rule)]
    _refuse_twins(routes, spec.get("rules"))
    if default is not None:
        hosts = dict.fromkeys([*(rule.get("host").plain(ANY_HOST) for rule in rules)] or [ANY_HOST])
        taken = {(route.host, route.path) for route in routes if not route.exact}
        routes += [
            IngressRoute(host=host, path="/", exact=False, target=default) for host in hosts if (host, "/") not in taken
        ]
    return Ingress(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        routes=tuple(routes),
        tls=tuple(_tls(item) for item in spec.get("tls").items() if item.get("secretName").plain("")),
        annotations=annotations,
    )


def _routes(rule: Cursor) -> Iterator[IngressRoute]:
    host = rule.get("host").plain(ANY_HOST)
    for item in rule.get("http").get("paths").items():
        kind = PathType(item.get("pathType").plain())
        path = item.get("path").plain("")
        if not path and kind is PathType.IMPLEMENTATION_SPECIFIC:
            path = "/"
        if not path.startswith("/"):
            raise item.get("path").fail("invalid-value", f' is "{path}", expected a path that begins with /')
        if any(part in ("", ".", "..") for part in path.strip("/").split("/")) and path.strip("/"):
            raise item.get("path").fail("invalid-value", f' is "{path}", expected one without //, /./ and /../')
        yield IngressRoute(
            host=host,
            path=path if kind is PathType.EXACT else (path.rstrip("/") or "/"),
            exact=kind is PathType.EXACT,
            target=_target(item.get("backend")),
        )


def _target(cursor: Cursor) -> Target:
    service = cursor.get("service")
    if service.node.value is None:
        raise cursor.fail("missing-field", ".service is missing")
    number, name = service.get("port").get("number").plain(), service.get("port").get("name").plain("")
    if (number is None) == (not name):
        raise service.get("port").fail("invalid-value", " needs one of number and name")
    return Target(service=service.get("name").plain(), port=number or name)


def _tls(cursor: Cursor) -> IngressTls:
    return IngressTls(hosts=tuple(cursor.get("hosts").plain([])), secret=cursor.get("secretName").plain())


def _refuse_twins(routes: list[IngressRoute], cursor: Cursor) -> None:
    seen: set[tuple[str, str, bool]] = set()
    for route in routes:
        key = (route.host, route.path, route.exact)
        if key in seen:
            raise cursor.fail("invalid-value", f": {route.host}{route.path} is there twice")
        seen.add(key)
