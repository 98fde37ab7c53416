"""The text of HAProxy's configuration: a function of the settings, the wanted backends and the account it runs under.

Two files: the configuration itself, and beside it `HOSTS_MAP`, which leads a host name to its backend. The names of
the backends and hosts are the structure; it is stamped into the configuration (`description`), so that a running
HAProxy can be asked what it was loaded with. The servers in the file are only what a restart begins with.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import RuntimeSettings

HOSTS_MAP = "hosts.map"
STAMP = "imageforge-"
USER = "haproxy"
"""The account that the distributions' packages make."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Server:
    """A replica in a backend: `name` is the replica's."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Backend:
    """What a routed Service is to HAProxy."""

    name: str
    hosts: tuple[str, ...]
    servers: tuple[Server, ...] = ()


def backend_name(namespace: str, service: str) -> str:
    """Unambiguous, for neither part can hold an underscore."""
    return f"{namespace}_{service}"


def initial_config(settings: RuntimeSettings) -> str:
    """The configuration before the first Service: every host is unknown. To be written where no file is yet."""
    return render(settings, ())


def stamp(settings: RuntimeSettings, backends: Sequence[Backend]) -> str:
    """A digest of all that needs a reload to change: everything but the servers."""
    bare = [Backend(name=backend.name, hosts=backend.hosts) for backend in backends]
    text = _render(settings, bare, "") + render_hosts(bare)
    return STAMP + hashlib.sha256(text.encode()).hexdigest()[:16]


def render_hosts(backends: Sequence[Backend]) -> str:
    """The map file: one host and its backend a line."""
    return "".join(f"{host} {backend.name}\n" for backend in sorted(backends) for host in backend.hosts)


def render(settings: RuntimeSettings, backends: Sequence[Backend]) -> str:
    """The whole configuration file."""
    return _render(settings, backends, stamp(settings, backends))


def _render(settings: RuntimeSettings, backends: Sequence[Backend], description: str) -> str:
    ordered = sorted(backends)
    parts = [_head(settings, description), _frontend(settings, routed=bool(ordered))]
    parts += [_backend(backend) for backend in ordered]
    return "\n".join(parts)


def _head(settings: RuntimeSettings, description: str) -> str:
    return f"""\
# Written by the imageforge controller; changes made by hand are overwritten.
global
    description {description or "-"}
    default-path config
    nbthread 1
    hard-stop-after 60s
{_identity()}    stats socket {_quote(settings.balancer_socket)} mode 600 level admin

defaults
    mode http
    balance roundrobin
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    http-reuse safe
    option idle-close-on-response
    option forwardfor
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 10s
"""


def _identity() -> str:
    """Root is needed to bind a low port and by nothing after it."""
    if os.geteuid() != 0:
        return ""
    try:
        group = grp.getgrgid(pwd.getpwnam(USER).pw_gid).gr_name
    except KeyError:
        return ""
    return f"    user {USER}\n    group {group}\n"


def _frontend(settings: RuntimeSettings, *, routed: bool) -> str:
    address = f"[{settings.http_address}]" if ":" in settings.http_address else settings.http_address
    lookup = f"var(txn.host),map({HOSTS_MAP})"
    route = f"    use_backend %[{lookup}] if {{ {lookup} -m found }}\n" if routed else ""
    return f"""\
frontend entry
    bind {address}:{settings.http_port}
    http-request set-var(txn.host) req.hdr(host),host_only,lower
{route}    default_backend unknown-host

backend unknown-host
    http-request return status 404 content-type text/plain string "No application answers to this host name.\\n"
"""


def _backend(backend: Backend) -> str:
    servers = "".join(f"    server {server.name} {endpoint(server)}\n" for server in sorted(backend.servers))
    return f"""\
backend {backend.name}
    http-request disable-l7-retry if {{ method POST PATCH CONNECT }}
    http-error status 503 content-type text/plain string "No replica of this application is ready.\\n"
{servers}"""


def endpoint(server: Server) -> str:
    """``ip:port`` as the configuration and the runtime socket write it."""
    return f"{server.address}:{server.port}"


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
