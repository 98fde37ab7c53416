"""HAProxy's configuration as text: pure. Servers stand in it too, so that a reload or a restart knows them.

For HAProxy 2.6 and later. One thread: on 2.6 a server that is deleted while another thread still uses it can crash the
process (fixed in 3.0), and one thread is far from busy with what one machine serves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import RuntimeSettings

# Idle connections to a server that was added at run time are only kept with these (haproxy 2.6).
SERVER_OPTIONS = "pool-purge-delay 5s pool-max-conn -1"
UNKNOWN = "be_unknown_host"


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One replica as the balancer knows it."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A Service's servers and the host names that lead to it."""

    name: str
    hosts: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()


def backend_name(namespace: str, service: str) -> str:
    """A backend's name; neither part may contain the separator."""
    return f"be_{namespace}_{service}"


def hosts_file(settings: RuntimeSettings) -> Path:
    """The map from host names to backends."""
    return settings.balancer_config.with_suffix(".hosts")


def initial_config(settings: RuntimeSettings) -> str:
    """The configuration before there is any Service."""
    return render(settings, ())


def render_hosts(backends: Sequence[Backend]) -> str:
    """The content of the hosts file."""
    return "".join(f"{host.lower()} {backend.name}\n" for backend in backends for host in backend.hosts)


def render(settings: RuntimeSettings, backends: Sequence[Backend]) -> str:
    """The whole file. Equal values give equal text."""
    # The master keeps its rights for reloads; the process that reads requests needs none.
    drop = "    user nobody\n    group nogroup\n" if os.geteuid() == 0 else ""
    return f"""# Written by imageforge; changes made here are lost.
global
{drop}    nbthread 1
    hard-stop-after 60s
    stats socket {settings.balancer_socket} mode 600 level admin
    stats timeout 10m

defaults
    mode http
    timeout connect 500ms
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout tunnel 1h
    # An idle client connection is closed with its next answer, not under its next request, when a reload retires us.
    option idle-close-on-response
    option forwardfor
    option redispatch 1
    retries 3
    # Nothing came back from the replica: another one may answer. Only for methods that may be repeated, see below.
    retry-on conn-failure empty-response
    http-reuse safe
    http-error status 503 content-type text/plain string "no replica is ready to answer\\n"

frontend entry
    bind {settings.http_address}:{settings.http_port}
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
    http-request set-var(txn.host) req.hdr(host),lower,field(1,:)
    use_backend %[var(txn.host),map({hosts_file(settings)},{UNKNOWN})]

backend {UNKNOWN}
    http-request return status 404 content-type text/plain string "no application is served under this name\\n"
""" + "".join(_backend(backend) for backend in backends)


def _backend(backend: Backend) -> str:
    servers = "".join(
        f"    server {server.name} {server.address}:{server.port} {SERVER_OPTIONS}\n" for server in backend.servers
    )
    return f"\nbackend {backend.name}\n    balance roundrobin\n{servers}"
