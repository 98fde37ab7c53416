"""The text of HAProxy's configuration: a function of the settings, the wanted backends and the account it runs under.

The configuration itself, and beside it the lists it reads: `HOSTS_MAP`, which leads a host name to its backend, and
where others than this machine are served, the same for them, the certificates, and the hosts that have one. The names
of the backends are the structure; it is stamped into the configuration (`description`), so that a running HAProxy can
be asked what it was loaded with. The servers in the file and the lists beside it are only what a restart begins with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.balancer.keyring import Ring
from runtime.manifest.model import Protocol
from runtime.settings import PublicEntry, RuntimeSettings

HOSTS_MAP = "hosts.map"
PUBLIC_MAP = "public.map"
EXACT_MAP = "exact.map"
BELOW_MAP = "below.map"
PUBLIC = "public-"
"""How the names of the same two begin that others than this machine are served by."""
CERTIFICATES = "certificates.list"
SECURED = "secured.map"
"""The hosts that have a certificate, with their backends: a map too, for a map is changed in large steps."""
ENTRY_HEADER = "X-Imageforge-Entry"
"""By which the API is told that the balancer speaks, and for which listener: ``tls KEY`` or ``plain KEY``."""
CHALLENGES = "/.well-known/acme-challenge/"
HSTS_SECONDS = 31536000
NOTHING = Ring()
STAMP = "imageforge-"
OWN = "at_"
"""How the names of the Services' own frontends begin."""
PEERS = "affinity"
PEER = "imageforge"
PEERS_SOCKET = "haproxy-peers.sock"
LONG_CONNECTION = "120h"
"""The kernel's own for an established connection, net.netfilter.nf_conntrack_tcp_timeout_established."""
LONG_REQUEST = "1h"
"""Between Services of one machine nobody else cuts a request short."""
LONGEST_LEAVE = "10m"
"""How long the old process of a reload may finish what it began: `hard-stop-after` as HAProxy's own Ingress controller
sets it (its key `timeout-stop`)."""
KNOW_CLIENT = "    tcp-request session set-var(sess.client) src,concat()\n"
NAME_CLIENT = "    http-request add-header X-Forwarded-For %[var(sess.client)]\n"
"""What `option forwardfor` does. That writes the same address out with each request of a connection, which takes a
twelfth of HAProxy's own instructions for it; this writes it once, and then copies it."""
USER = "haproxy"
"""The account that the distributions' packages make."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Server:
    """A replica in a backend: `name` is the replica's."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Bind:
    """An address and port at which a backend is served to who connects there, from one of the `sources` where there
    are some: networks, as CIDR."""

    address: str
    port: int
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Route:
    """Requests on the entry port for a host (``*.domain`` for all names with one label more, ``*`` for any) and a path;
    not `exact`, for all below the path too."""

    host: str
    path: str
    exact: bool = False

    @property
    def key(self) -> str:
        """As a request is looked up: by host and path, and a slash behind where what is below it is meant."""
        return self.host + (self.path if self.exact else f"{self.path.rstrip('/')}/")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Backend:
    """What a port of a Service is to HAProxy: `hosts` and `routes` lead to it on the entry port, `binds` elsewhere.
    `affinity` are the seconds for which a client keeps its server, 0 for none."""

    name: str
    hosts: tuple[str, ...]
    servers: tuple[Server, ...] = ()
    binds: tuple[Bind, ...] = ()
    protocol: Protocol = Protocol.HTTP
    affinity: int = 0
    least_connections: bool = False
    routes: tuple[Route, ...] = ()


def backend_name(namespace: str, service: str, port: str = "") -> str:
    """Of a Service's routed port, or of another by its name. Unambiguous, for no part can hold an underscore."""
    return "_".join([namespace, service, *([port] if port else [])])


def initial_config(settings: RuntimeSettings) -> str:
    """The configuration before the first Service: every host is unknown, and nothing is served to others yet. To be
    written where no file is yet; it needs none beside it."""
    return render(replace(settings, public=None), ())


def keys_folder(settings: RuntimeSettings) -> Path:
    """Where the balancer's own copies of the certificates lie."""
    return settings.balancer_config.with_name("keyring")


def stamp(settings: RuntimeSettings, backends: Sequence[Backend]) -> str:
    """A digest of all that needs a reload to change: everything but the servers, the hosts and the certificates."""
    bare = [replace(backend, hosts=(), servers=(), routes=()) for backend in backends]
    text = _render(settings, bare, "", by_path=_by_path(backends))
    return STAMP + hashlib.sha256(text.encode()).hexdigest()[:16]


def render_hosts(backends: Sequence[Backend]) -> str:
    """The map file: one host and its backend a line."""
    return "".join(f"{host} {backend.name}\n" for backend in sorted(backends) for host in backend.hosts)


def beside(settings: RuntimeSettings, backends: Sequence[Backend], ring: Ring = NOTHING) -> dict[str, str]:
    """The lists that the configuration reads, by file name."""
    lists = {HOSTS_MAP: render_hosts(backends)}
    if _by_path(backends):
        lists |= {EXACT_MAP: _render_routes(backends, exact=True), BELOW_MAP: _render_routes(backends, exact=False)}
    if settings.public is None:
        return lists
    secured = [(host, backend) for backend in sorted(backends) for host in _names(backend) if is_public(host)]
    if _by_path(backends):
        lists |= {
            PUBLIC + EXACT_MAP: _render_routes(backends, exact=True, public=True),
            PUBLIC + BELOW_MAP: _render_routes(backends, exact=False, public=True),
        }
    pairs = [(host, backend) for backend in sorted(backends) for host in backend.hosts if is_public(host)]
    return {
        **lists,
        PUBLIC_MAP: "".join(f"{host} {backend.name}\n" for host, backend in pairs),
        SECURED: "".join(
            f"{host} {name}\n"
            for host, name in {host: backend.name for host, backend in secured}.items()
            if ring.covers(host)
        ),
        CERTIFICATES: "".join(f"{entry.file} {' '.join(entry.names)}\n" for entry in ring.entries),
    }


def _by_path(backends: Sequence[Backend]) -> bool:
    return any(backend.routes for backend in backends)


def _render_routes(backends: Sequence[Backend], *, exact: bool, public: bool = False) -> str:
    found = {
        route.key: backend.name
        for backend in sorted(backends)
        for route in backend.routes
        if route.exact == exact and (is_public(route.host) or not public)
    }
    return "".join(f"{key} {name}\n" for key, name in found.items())


def _names(backend: Backend) -> list[str]:
    """The hosts that lead to it, without those that stand for several."""
    return [*backend.hosts, *(route.host for route in backend.routes if not route.host.startswith("*"))]


def is_public(host: str) -> bool:
    """Whether a host is for others than this machine: ``localhost`` and what is below it never is (RFC 6761, 6.3)."""
    return host != "localhost" and not host.endswith(".localhost")


def render(settings: RuntimeSettings, backends: Sequence[Backend]) -> str:
    """The whole configuration file."""
    return _render(settings, backends, stamp(settings, backends), by_path=_by_path(backends))


def _render(settings: RuntimeSettings, backends: Sequence[Backend], description: str, *, by_path: bool) -> str:
    ordered = sorted(backends)
    parts = [_head(settings, description), _frontend(settings, ordered, by_path=by_path)]
    if any(backend.affinity for backend in ordered):
        parts.append(_peers(settings))
    if settings.public:
        parts.append(_public(settings.public, by_path=by_path))
    parts += [_backend(backend) for backend in ordered]
    parts += [_own_frontend(backend) for backend in ordered if backend.binds]
    return "\n".join(parts)


def _head(settings: RuntimeSettings, description: str) -> str:
    """What holds for all.

    ``retry-on empty-response``: a GET whose replica dies is asked of another, and to that end HAProxy copies the buffer
    it is in, all 16 KiB of it however short the request is, and keeps the copy until it is answered. That is nearly all
    that the balancer takes longer than a plain configuration, and more the more requests are under way at once. A
    smaller `tune.bufsize` makes it cheaper, and refuses requests and answers with long headers. ``option
    use-small-buffers l7-retries`` of 3.4 is meant to, but with it 3.4.0 and 3.5-dev5 close the client's connection
    after each answer.
    """
    return f"""\
# Written by the imageforge controller; changes made by hand are overwritten.
global
    description {description or "-"}
    default-path config
    nbthread 1
    localpeer {PEER}
    hard-stop-after {LONGEST_LEAVE}
{_identity()}{_keys(settings)}    stats socket {_quote(settings.balancer_socket)} mode 600 level admin

defaults
    mode http
    balance roundrobin
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    http-reuse safe
    option idle-close-on-response
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
    # A client on Windows has neither, and reads this module for the names in it.
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    try:
        group = grp.getgrgid(pwd.getpwnam(USER).pw_gid).gr_name
    except KeyError:
        return ""
    return f"    user {USER}\n    group {group}\n"


def _keys(settings: RuntimeSettings) -> str:
    return f"    crt-base {_quote(keys_folder(settings))}\n" if settings.public else ""


def _frontend(settings: RuntimeSettings, backends: Sequence[Backend], *, by_path: bool) -> str:
    return f"""\
frontend entry
    bind {_bind(settings.http_address, settings.http_port)}
{KNOW_CLIENT}{NAME_CLIENT}{_route_by_host(backends, by_path=by_path)}    default_backend unknown-host

backend unknown-host
    http-request return status 404 content-type text/plain string "No application answers to this host name.\\n"
"""


def _public(entry: PublicEntry, *, by_path: bool) -> str:
    """Two listeners for others, and the service behind them.

    Whatever a client says of itself and of where it came from is dropped before it is said anew. Only hosts that are
    known are redirected, to the name by which they are known.
    """
    challenges = f"    use_backend imageforge-plain if {{ path_beg {CHALLENGES} }}\n" if entry.acme else ""
    not_challenge = f"!{{ path_beg {CHALLENGES} }} " if entry.acme else ""
    port = "" if entry.https_port == 443 else f":{entry.https_port}"
    service = f"{{ var(txn.host) -m str {entry.host} }}"
    routes = _route(PUBLIC_MAP) + (_route_by_path(PUBLIC) if by_path else "")
    return f"""\
frontend public-plain
    bind {_bind(entry.address, entry.http_port)}
{_arrival("http")}    http-request redirect code 308 location https://%[var(txn.host)]{port}%[pathq] if \
{not_challenge}{{ var(txn.host),map({SECURED}) -m found }}
{challenges}    use_backend imageforge-plain if {service}
{routes}    default_backend unknown-host

frontend public-tls
    bind {_bind(entry.address, entry.https_port)} ssl crt-list {CERTIFICATES} strict-sni alpn h2,http/1.1 \
ssl-min-ver TLSv1.2
{_arrival("https")}    http-request set-var(txn.service) bool(true) if {service}
    http-after-response set-header Strict-Transport-Security max-age={HSTS_SECONDS} if {{ var(txn.service) -m bool }}
    use_backend imageforge-registry if {service} {{ path /v2 }}
    use_backend imageforge-registry if {service} {{ path_beg /v2/ }}
    use_backend imageforge-tls if {service}
{routes}    default_backend unknown-host

{_service("imageforge-plain", entry.api, f"plain {entry.key}")}
{_service("imageforge-tls", entry.api, f"tls {entry.key}")}
{_service("imageforge-registry", entry.registry, "")}"""


def _arrival(scheme: str) -> str:
    dropped = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded", ENTRY_HEADER)
    return f"""\
{KNOW_CLIENT}    http-request set-var(txn.host) req.hdr(host),host_only,lower
{"".join(f"    http-request del-header {name}{chr(10)}" for name in dropped)}\
{NAME_CLIENT}    http-request set-header X-Forwarded-Proto {scheme}
"""


def _service(name: str, address: str, said: str) -> str:
    """A part of the service itself. Its server closes idle connections when it likes to, so each request has its own;
    an answer may take as long as a build does."""
    header = f"    http-request set-header {ENTRY_HEADER} {_quote_word(said)}\n" if said else ""
    return f"""\
backend {name}
    option http-server-close
    timeout server 1h
    http-request disable-l7-retry unless {{ method GET HEAD }}
{header}    http-error status 503 content-type text/plain string "The service is starting, or down.\\n"
    server service {address}
"""


def _route_by_host(backends: Sequence[Backend], *, by_path: bool) -> str:
    """Where no path has a say, the host is looked up once, and no more is done: this is what each request pays for."""
    if by_path:
        host = "    http-request set-var(txn.host) req.hdr(host),host_only,lower\n"
        return host + (_route(HOSTS_MAP) if backends else "") + _route_by_path("")
    if not backends:
        return ""
    lookup = f"req.fhdr(host),host_only,lower,map({HOSTS_MAP})"
    web = [backend.name for backend in backends if backend.protocol is not Protocol.TCP]
    if len(web) == 1:
        # A name that is known beforehand need not be put together and looked for with each request. It is compared all
        # the same: the list may hold one that comes with the next configuration.
        return f"    use_backend {web[0]} if {{ {lookup} -m str {web[0]} }}\n"
    # A name that is put together is read after the file, when HAProxy no longer knows the folder that the list is in;
    # it does know a list that was read before, as by a condition that nothing asks for.
    return f"""\
    acl known {lookup} -m found
    use_backend %[{lookup}]
"""


def _route(hosts: str) -> str:
    lookup = f"var(txn.host),map({hosts})"
    return f"    use_backend %[{lookup}] if {{ {lookup} -m found }}\n"


def _route_by_path(prefix: str) -> str:
    """The whole path before what is above it, the longer before the shorter, and a host of its own before those that
    stand for several: as Ingress has it."""
    lines = [
        "http-request set-var(txn.path) path",
        "http-request set-var(txn.domain) var(txn.host),field(2,.,0)",
    ]
    rules = []
    for number, host in enumerate(("var(txn.host)", "str(*.),concat(,txn.domain)", "str(*)")):
        exact, below = f"txn.exact{number}", f"txn.below{number}"
        lines.append(f"http-request set-var({exact}) {host},concat(,txn.path)")
        lines.append(f"http-request set-var({below}) {host},concat(,txn.path,/)")
        for lookup in (f"var({exact}),map({prefix}{EXACT_MAP})", f"var({below}),map_beg({prefix}{BELOW_MAP})"):
            rules.append(f"use_backend %[{lookup}] if {{ {lookup} -m found }}")
    return "".join(f"    {line}\n" for line in [*lines, *rules])


def _bind(address: str, port: int) -> str:
    if address == "::":
        return f":::{port} v4v6"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _backend(backend: Backend) -> str:
    lines = (f"    server {server.name} {server_words(backend, server)}\n" for server in sorted(backend.servers))
    return f"backend {backend.name}\n{_manner(backend)}{_balance(backend)}{''.join(lines)}"


def _manner(backend: Backend) -> str:
    if backend.protocol is Protocol.TCP:
        return _connections("server")
    patience = f"    http-request set-timeout server {LONG_REQUEST} if {{ fe_name -m beg {OWN} }}\n"
    return f"""\
{patience if backend.binds else ""}    http-request disable-l7-retry if {{ method POST PATCH CONNECT }}
    http-error status 503 content-type text/plain string "No replica of this application is ready.\\n"
"""


def _balance(backend: Backend) -> str:
    lines = "    balance leastconn\n" if backend.least_connections else ""
    if backend.affinity:
        lines += f"    stick-table type ip size 200k expire {backend.affinity}s peers {PEERS}\n    stick on src\n"
    return lines


def _own_frontend(backend: Backend) -> str:
    """Where the Service's own addresses are served. ``transparent``: an address that is not there, as after a reboot,
    keeps HAProxy neither from starting nor from answering once it is."""
    binds = "".join(f"    bind {_bind(bind.address, bind.port)} transparent\n" for bind in backend.binds)
    patience = _connections("client") if backend.protocol is Protocol.TCP else f"    timeout client {LONG_REQUEST}\n"
    refused = "".join(map(_refused, backend.binds))
    client = "" if backend.protocol is Protocol.TCP else KNOW_CLIENT + NAME_CLIENT
    return f"frontend {OWN}{backend.name}\n{binds}{patience}{refused}{client}    default_backend {backend.name}\n"


def _refused(bind: Bind) -> str:
    """Who comes by this port from elsewhere is let go before a byte is read."""
    if not bind.sources:
        return ""
    return f"    tcp-request connection reject if {{ dst_port {bind.port} }} !{{ src {' '.join(bind.sources)} }}\n"


def _connections(side: str) -> str:
    """A connection may rest for as long as one may rest in the kernel's own tables; keep-alives find who is gone."""
    keep_alive = "clitcpka" if side == "client" else "srvtcpka"
    return f"    mode tcp\n    timeout {side} {LONG_CONNECTION}\n    option {keep_alive}\n"


def _peers(settings: RuntimeSettings) -> str:
    """By which a reload's new process learns of the old one which client keeps which server."""
    path = settings.balancer_socket.with_name(PEERS_SOCKET)
    return f"peers {PEERS}\n    peer {PEER} {_quote_word(f'unix@{path}')}\n"


def server_words(backend: Backend, server: Server) -> str:
    """A server's address, and how it is spoken to, as the configuration and the runtime socket write it."""
    return endpoint(server) + (" proto h2" if backend.protocol is Protocol.H2C else "")


def endpoint(server: Server) -> str:
    """``ip:port`` as the configuration and the runtime socket write it."""
    return f"{server.address}:{server.port}"


def _quote(path: Path) -> str:
    return _quote_word(str(path))


def _quote_word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
