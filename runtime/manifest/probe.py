"""What is asked of a running container, and what is done in it at its start and before its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import HTTP_PATH, PORT, PORT_NUMBER, Many, Object, Text, Whole, words

_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_HOST = re.compile(r"[-.:_A-Za-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")

Headers = tuple[tuple[str, str], ...]
PortOf = Callable[[int | str], int | None]
"""The number of a container's port by its name or number; None where there is no such name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCall:
    """A GET. `host` empty is the replica's own address; the header ``Host`` is among `headers` where it is said."""

    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    headers: Headers = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One of four questions: `command` is run in the container, `grpc` asks for the health of `service`, a `path` is a
    GET, and what is left is a TCP connect. `port` is a number or the name of a container port. `grace_period` None is
    the pod's."""

    port: int | str = 0
    path: str | None = None
    initial_delay: int = 0
    period: int = 10
    timeout: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    command: tuple[str, ...] = ()
    grpc: bool = False
    service: str = ""
    host: str = ""
    scheme: str = "HTTP"
    headers: Headers = field(default=(), repr=False)
    grace_period: int | None = None

    @property
    def call(self) -> HttpCall | None:
        """The GET, where it is one."""
        if self.path is None:
            return None
        return HttpCall(port=self.port, path=self.path, host=self.host, scheme=self.scheme, headers=self.headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """What is done once: a `command` in the container, a GET, or a wait of `sleep` seconds."""

    command: tuple[str, ...] = ()
    call: HttpCall | None = None
    sleep: int | None = None


_HTTP_GET = Object(
    fields={
        "path": Text(pattern=HTTP_PATH, says="a URL path without spaces"),
        "port": PORT,
        "host": Text(pattern=_HOST, says="a host name or address"),
        "scheme": Text(choices=("HTTP", "HTTPS")),
        "httpHeaders": Many(
            item=Object(
                fields={
                    "name": Text(pattern=_HEADER_NAME, says="a header name: letters, digits and hyphens"),
                    "value": Text(hidden=True),
                },
                required=("name", "value"),
            )
        ),
    },
    required=("port",),
)
_EXEC = Object(fields={"command": Many(item=Text(), least=1)}, required=("command",))

PROBE = Object(
    fields={
        "exec": _EXEC,
        "httpGet": _HTTP_GET,
        "tcpSocket": Object(
            fields={"port": PORT, "host": Text(pattern=_HOST, says="a host name or address")}, required=("port",)
        ),
        "grpc": Object(fields={"port": PORT_NUMBER, "service": Text()}, required=("port",)),
        "initialDelaySeconds": Whole(),
        "periodSeconds": Whole(low=1),
        "timeoutSeconds": Whole(low=1),
        "successThreshold": Whole(low=1),
        "failureThreshold": Whole(low=1),
        "terminationGracePeriodSeconds": Whole(low=1),
    },
)

_HOOK = Object(
    fields={
        "exec": _EXEC,
        "httpGet": _HTTP_GET,
        "sleep": Object(fields={"seconds": Whole()}, required=("seconds",)),
    },
    known=words("tcpSocket"),
)
LIFECYCLE = Object(fields={"postStart": _HOOK, "preStop": _HOOK}, known=words("stopSignal"))

_PROBES = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOKS = ("exec", "httpGet", "sleep")


def probe(cursor: Cursor, port_of: PortOf, *, readiness: bool = False) -> Probe | None:
    """A probe from a tree that the schema has passed, None where there is none; only one of readiness may ask for
    several successes, and only the others for a grace period, since they end the container."""
    if cursor.node.says_nothing:
        return None
    kind = _one_of(cursor, _PROBES)
    asked = cursor.get(kind)
    call = _call(asked, port_of) if kind == "httpGet" else None
    if kind == "tcpSocket":
        _check_port(asked.get("port"), port_of)
    if not readiness and cursor.get("successThreshold").plain(1) != 1:
        raise cursor.get("successThreshold").fail("invalid-value", " must be 1 for liveness and startup")
    if readiness and cursor.get("terminationGracePeriodSeconds").node.value is not None:
        raise cursor.get("terminationGracePeriodSeconds").fail(
            "invalid-value", " must not be set: a readiness probe ends no container"
        )
    return Probe(
        port=asked.get("port").plain(0),
        path=call.path if call else None,
        initial_delay=cursor.get("initialDelaySeconds").plain(0),
        period=cursor.get("periodSeconds").plain(10),
        timeout=cursor.get("timeoutSeconds").plain(1),
        success_threshold=cursor.get("successThreshold").plain(1),
        failure_threshold=cursor.get("failureThreshold").plain(3),
        command=tuple(asked.get("command").plain([])),
        grpc=kind == "grpc",
        service=asked.get("service").plain(""),
        host=asked.get("host").plain(""),
        scheme=call.scheme if call else "HTTP",
        headers=call.headers if call else (),
        grace_period=cursor.get("terminationGracePeriodSeconds").plain(),
    )


def hook(cursor: Cursor, port_of: PortOf, *, longest: int) -> Hook | None:
    """What to do at the start or before the end; a sleep is of `longest` seconds at most, the pod's grace period."""
    if cursor.node.says_nothing:
        return None
    kind = _one_of(cursor, _HOOKS)
    asked = cursor.get(kind)
    seconds = asked.get("seconds").plain()
    if kind == "sleep" and seconds > longest:
        raise asked.get("seconds").fail(
            "invalid-value", f" is {seconds}, at most terminationGracePeriodSeconds, which is {longest}"
        )
    return Hook(
        command=tuple(asked.get("command").plain([])),
        call=_call(asked, port_of) if kind == "httpGet" else None,
        sleep=seconds if kind == "sleep" else None,
    )


def _one_of(cursor: Cursor, kinds: tuple[str, ...]) -> str:
    said = [kind for kind in kinds if cursor.get(kind).node.value is not None]
    if len(said) != 1:
        raise cursor.fail("invalid-value", f" needs one of {', '.join(kinds[:-1])} and {kinds[-1]}")
    return said[0]


def _call(cursor: Cursor, port_of: PortOf) -> HttpCall:
    _check_port(cursor.get("port"), port_of)
    for item in cursor.get("httpHeaders").items():
        if _CONTROL.search(item.get("value").plain()):
            raise item.get("value").fail("invalid-value", " has characters that a header cannot have")
    path = cursor.get("path").plain("/") or "/"
    return HttpCall(
        port=cursor.get("port").plain(),
        path=path if path.startswith("/") else f"/{path}",
        host=cursor.get("host").plain(""),
        scheme=cursor.get("scheme").plain("HTTP"),
        headers=tuple(
            (item.get("name").plain(), item.get("value").plain()) for item in cursor.get("httpHeaders").items()
        ),
    )


def _check_port(cursor: Cursor, port_of: PortOf) -> None:
    port = cursor.plain()
    if port_of(port) is None:
        raise cursor.fail(
            "invalid-value",
            f': no port of the container is named "{port}"',
            hint="name the port under `ports`, or give its number",
        )
