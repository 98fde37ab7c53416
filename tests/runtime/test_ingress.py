"""Ingress: what a manifest may say, what only one object can have, and requests by host and path on a real HAProxy."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime import Conflict, ManifestError, PublicEntry, load_manifests
from runtime.balancer.balancer import Balancer
from runtime.balancer.config import BELOW_MAP, Backend, Route, Server, beside
from runtime.balancer.counters import Counters
from runtime.balancer.keyring import Keyring
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_info
from runtime.claims import refuse_conflicts
from runtime.entrances import NO_TLS, Entrances
from runtime.events import Recorder
from runtime.manifest.model import Service, ServicePort
from runtime.manifest.routing import Ingress, IngressRoute, IngressTls, Target
from runtime.routes import unmet, wanted_backends
from runtime.store import Store
from tests.authority import TestAuthority
from tests.ports import unused_port
from tests.runtime.stack import Stack, make_settings

GOOD = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shops}
spec:
  ingressClassName: nginx
  defaultBackend: {service: {name: front, port: {number: 80}}}
  rules:
    - host: shop.example.org
      http:
        paths:
          - {path: /api/, pathType: Prefix, backend: {service: {name: api, port: {name: http}}}}
          - {path: /api/v1, pathType: Exact, backend: {service: {name: old, port: {number: 8080}}}}
    - http:
        paths:
          - {pathType: ImplementationSpecific, backend: {service: {name: rest, port: {number: 80}}}}
  tls:
    - {hosts: [shop.example.org], secretName: shop-tls}
"""


def target(name: str, port: int | str = 80) -> Target:
    return Target(service=name, port=port)


def test_an_ingress() -> None:
    (document,) = load_manifests(GOOD)
    assert document.object == Ingress(
        namespace="shops",
        name="shop",
        routes=(
            IngressRoute(host="shop.example.org", path="/api", exact=False, target=target("api", "http")),
            IngressRoute(host="shop.example.org", path="/api/v1", exact=True, target=target("old", 8080)),
            IngressRoute(host="*", path="/", exact=False, target=target("rest")),
            IngressRoute(host="shop.example.org", path="/", exact=False, target=target("front")),
        ),
        tls=(IngressTls(hosts=("shop.example.org",), secret="shop-tls"),),
    )
    only = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {defaultBackend: %s}"
    parsed = load_manifests(only % "{service: {name: front, port: {number: 80}}}")[0].object
    assert isinstance(parsed, Ingress)
    assert [(route.host, route.path) for route in parsed.routes] == [("*", "/")]


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "said"),
    [
        ("path: /api/,", "path: api,", "invalid-value", 12, "begins with /"),
        ("path: /api/,", "path: /a/../b,", "invalid-value", 12, "without //"),
        ("path: /api/,", "path: /a//b,", "invalid-value", 12, "without //"),
        ("pathType: Prefix", "pathType: Regex", "invalid-value", 12, "Exact or Prefix"),
        ("pathType: Prefix, ", "", "missing-field", 12, "pathType is missing"),
        ("/api/v1, pathType: Exact", "/api, pathType: Prefix", "invalid-value", 9, "org/api is there twice"),
        ("port: {name: http}", "port: {name: http, number: 80}", "invalid-value", 12, "one of number and name"),
        ("port: {name: http}", "port: {}", "invalid-value", 12, "needs one"),
        ("host: shop.example.org", "host: https://shop", "invalid-value", 9, "a host name"),
        ("host: shop.example.org", "host: a.*.org", "invalid-value", 9, "a host name"),
        ("{service: {name: api, port: {name: http}}}", "{resource: {kind: X}}", "unsupported-field", 12, "resource"),
        ("namespace: shops", "annotations: {nginx.ingress.kubernetes.io/rewrite-target: /}", "unsupported-field", 4,
         "rewrite-target tells another controller"),
        ("v1\nkind", "v1beta1\nkind", "unsupported-version", 2, "networking.k8s.io/v1"),
    ],
)  # fmt: skip
def test_refused_with_its_line(old: str, new: str, code: str, line: int, said: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "shop.yaml")
    assert (caught.value.code, caught.value.subject) == (code, f"shop.yaml:{line}")
    assert said in caught.value.message
    with pytest.raises(ManifestError, match="nothing to lead to"):
        load_manifests("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: []}")


def ingress(name: str, *routes: tuple[str, str], namespace: str = "shops", exact: bool = False) -> Ingress:
    made = tuple(IngressRoute(host=host, path=path, exact=exact, target=target("front")) for host, path in routes)
    return Ingress(namespace=namespace, name=name, routes=made)


def service(name: str = "front", *ports: ServicePort, **more: object) -> Service:
    made = Service(namespace="shops", name=name, selector={"a": "b"}, ports=ports or (ServicePort(port=80, target=80),))
    return replace(made, **more)  # type: ignore[arg-type]


def test_what_only_one_can_have() -> None:
    a = ingress("a", ("x.org", "/"))
    refuse_conflicts([], [a, ingress("b", ("x.org", "/b")), ingress("c", ("x.org", "/"), exact=True)], {})
    refuse_conflicts([service(hosts=("y.org",)), service("other", hosts=("z.org",))], [a], {})
    for services, ingresses, code, said in [
        ([], [a, ingress("b", ("x.org", "/"))], "path-taken", "x.org/ already leads where Ingress shops/a says"),
        ([], [a, ingress("b", ("x.org", "/b"), namespace="n")], "host-taken", "already leads to Ingress shops/a"),
        ([service(hosts=("x.org",))], [a], "host-taken", "x.org already leads to Service shops/front"),
        ([service(hosts=("x.org",)), service("b", hosts=("x.org",))], [], "host-taken", "Service shops/front"),
    ]:
        with pytest.raises(Conflict) as caught:
            refuse_conflicts(services, ingresses, {})
        assert (caught.value.code, said in caught.value.message) == (code, True), caught.value


def test_ports_of_the_machine_that_are_taken() -> None:
    asks = service("asks", ServicePort(port=80, target=80, node_port=30100), type="NodePort")
    other = service("other", type="NodePort")
    refuse_conflicts([asks, other], [], {("shops", "asks"): {"": 30086}, ("shops", "other"): {"": 30101}})
    # What a Service had that is none of this type any more is nobody's.
    refuse_conflicts([asks, replace(other, type="ClusterIP")], [], {("shops", "other"): {"": 30100}})
    for given, taker in [({("shops", "other"): {"": 30100}}, other), ({}, replace(asks, name="other"))]:
        with pytest.raises(Conflict) as caught:
            refuse_conflicts([asks, taker], [], given)
        assert caught.value.code == "node-port-taken"
        assert "port 30100 of this machine is already that of Service shops/asks" in caught.value.message


def test_routes_lead_to_ports_of_the_same_namespace() -> None:
    plain = service("front", ServicePort(port=80, target=80, name="web"), ServicePort(port=81, target=81, name="db"))
    a = ingress("a", ("x.org", "/"))
    (backend,) = wanted_backends([plain, replace(plain, namespace="n")], [], {}, [a])
    assert (backend.name, backend.routes, backend.protocol) == ("shops_front", (Route(host="x.org", path="/"),), "http")
    assert unmet(a, [plain]) == ()
    assert unmet(a, []) == ("there is no Service front",)
    assert unmet(a, [service("front", ServicePort(port=8080, target=1))]) == ("Service front has no port 80",)
    forced = replace(plain, protocol="tcp")
    assert "does not speak HTTP" in unmet(a, [forced])[0]
    assert wanted_backends([forced], [], {}, [a]) == ()


class Named(ThreadingHTTPServer):
    """Answers with its name."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def backend(self, *routes: Route, hosts: tuple[str, ...] = ()) -> Backend:
        server = Server(name="a", address="127.0.0.1", port=self.server_port)
        return Backend(name=f"n_{self.name}", hosts=hosts, servers=(server,), routes=routes)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Named)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.name)))
        self.end_headers()
        self.wfile.write(self.server.name.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stack(short_path: Path, free_port: int) -> Iterator[Stack]:
    made = Stack(settings=make_settings(short_path, "abc", "", free_port), home=short_path)
    made.start_haproxy()
    yield made
    made.stop_haproxy()


def answerer(stack: Stack, host: str, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", stack.settings.http_port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return body if response.status == 200 else str(response.status)


def test_requests_by_host_and_path(stack: Stack) -> None:
    servers = {name: Named(name) for name in ("front", "api", "old", "wild", "host")}
    front, api, old, wild, host = servers.values()
    balancer = Balancer(stack.settings, Counters())
    backends = [
        front.backend(Route(host="shop.org", path="/")),
        api.backend(Route(host="shop.org", path="/api"), Route(host="shop.org", path="/api/v2/x")),
        old.backend(Route(host="shop.org", path="/api", exact=True), Route(host="shop.org", path="/api/v2")),
        wild.backend(Route(host="*.shop.org", path="/")),
        host.backend(hosts=("plain.localhost",)),
    ]
    balancer.sync(lambda: backends)
    assert balancer.error is None
    for name, path, expected in [
        ("shop.org", "/", "front"),
        ("SHOP.org:80", "/apish", "front"),
        ("shop.org", "/API", "front"),
        ("shop.org", "/api", "old"),
        ("shop.org", "/api?x=/y", "old"),
        ("shop.org", "/api/", "api"),
        ("shop.org", "/api/v1", "api"),
        ("shop.org", "/api/v2", "old"),
        ("shop.org", "/api/v2/x/y", "api"),
        ("shop.org", "/api/v2/xy", "old"),
        ("a.shop.org", "/any/thing", "wild"),
        ("a.b.shop.org", "/", "404"),
        ("other.org", "/api", "404"),
        ("plain.localhost", "/api", "host"),
    ]:
        assert answerer(stack, name, path) == expected, (name, path)
    before = balancer_process(stack)
    # Paths come and go in the running process.
    backends[0] = front.backend(Route(host="*", path="/"))
    backends[1] = api.backend()
    balancer.sync(lambda: backends)
    assert balancer.error is None
    assert answerer(stack, "anything.example", "/") == "front"
    backends[1] = api.backend(Route(host="shop.org", path="/~a;b$'c"))
    balancer.sync(lambda: backends)
    assert answerer(stack, "shop.org", "/~a;b$'c/d") == "api"
    backends[1] = api.backend(Route(host="shop.org", path="/e"))
    balancer.sync(lambda: backends)
    assert answerer(stack, "shop.org", "/~a;b$'c/d") == "front"
    assert answerer(stack, "shop.org", "/e") == "api"
    assert balancer_process(stack) == before
    balancer.sync(lambda: backends[3:])
    assert BELOW_MAP in beside(stack.settings, backends[3:])
    balancer.sync(lambda: backends[4:])
    assert BELOW_MAP not in beside(stack.settings, backends[4:])
    assert answerer(stack, "a.shop.org", "/") == "404"
    assert answerer(stack, "plain.localhost", "/") == "host"
    assert balancer.error is None
    for server in servers.values():
        server.shutdown()
        server.server_close()


def balancer_process(stack: Stack) -> int:
    return parse_info(CommandSocket(stack.settings.balancer_socket).ask("show info")).pid


class Secrets:
    """Secrets by namespace and name."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, bytes]] = {}

    def __call__(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        return self.held.get((namespace, name))


def test_certificates_out_of_secrets(tmp_path: Path) -> None:
    """They are served, replaced and named where they are broken; what was good serves on."""
    chain, private = TestAuthority(tmp_path / "authority").issue("shop.example.org")
    keyring, secrets, store = Keyring((), tmp_path / "keyring"), Secrets(), Store(tmp_path / "runtime.db")
    events = Recorder(store)
    with_tls = replace(ingress("shop", ("shop.example.org", "/")), tls=(IngressTls(hosts=(), secret="shop-tls"),))
    entrances = Entrances(lambda: (with_tls,), secrets, events)

    def said() -> list[str]:
        entrances.report([service()], keyring.problem, by_tls=True)
        return [event.message for event in events.past()]

    assert entrances.certificates() == {}
    assert said() == ["Secret shops/shop-tls is not there, or without tls.crt and tls.key"]
    secrets.held["shops", "shop-tls"] = {"tls.crt": chain, "tls.key": private}
    ring = keyring.look(entrances.certificates())
    assert ring.covers("shop.example.org")
    assert len(said()) == 1
    secrets.held["shops", "shop-tls"] = {"tls.crt": b"broken", "tls.key": private}
    assert keyring.look(entrances.certificates()) == ring
    assert "shops/shop-tls is not served: it holds no certificate that can be read" in said()[1]
    # A later controller remembers what was good.
    assert Keyring((), tmp_path / "keyring").look(entrances.certificates()) == ring
    entrances.report([], keyring.problem, by_tls=False)
    assert {event.message for event in events.past()} >= {
        "some of its requests lead nowhere: there is no Service front",
        NO_TLS,
    }
    store.close()


def test_by_tls_with_a_certificate_of_a_secret(short_path: Path, free_port: int) -> None:
    """Others are served by path too; who comes without TLS is sent there once there is a certificate."""
    authority = TestAuthority(short_path / "authority")
    public = PublicEntry(
        address="127.0.0.1",
        http_port=unused_port(),
        https_port=unused_port(),
        host="forge.example.org",
        api="127.0.0.1:1",
        registry="127.0.0.1:1",
        key="0123",
        certificates=(),
    )
    settings = replace(make_settings(short_path, "abc", "", free_port), public=public)
    stack, server = Stack(settings=settings, home=short_path), Named("api")
    stack.start_haproxy()
    try:
        balancer = Balancer(settings, Counters())
        given = {"shops/shop-tls": authority.bundle("shop.org")}
        balancer.given = lambda: given
        backend = server.backend(Route(host="shop.org", path="/api"), Route(host="local.localhost", path="/"))
        balancer.sync(lambda: [backend])
        assert (balancer.error, balancer.certificate_problem("shops/shop-tls")) == (None, "")
        before = balancer_process(stack)

        def by_tls(host: str, path: str) -> tuple[int, str]:
            plain = socket.create_connection(("127.0.0.1", public.https_port), timeout=10)
            connection = http.client.HTTPConnection(host)
            connection.sock = authority.context().wrap_socket(plain, server_hostname=host)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            said = response.status, response.read().decode()
            connection.close()
            return said

        def by_plain(host: str, path: str) -> tuple[int, str | None]:
            connection = http.client.HTTPConnection("127.0.0.1", public.http_port, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            response.read()
            connection.close()
            return response.status, response.headers["Location"]

        assert by_tls("shop.org", "/api/x") == (200, "api")
        assert by_tls("shop.org", "/other")[0] == 404
        assert by_plain("shop.org", "/api") == (308, f"https://shop.org:{public.https_port}/api")
        assert by_plain("local.localhost", "/") == (404, None)
        # Another certificate comes in the running process, for another host.
        given["shops/other"] = authority.bundle("other.org")
        backend = replace(backend, routes=(*backend.routes, Route(host="other.org", path="/")))
        balancer.sync(lambda: [backend])
        assert by_tls("other.org", "/x") == (200, "api")
        assert balancer_process(stack) == before
    finally:
        stack.stop_haproxy()
        server.shutdown()
        server.server_close()
