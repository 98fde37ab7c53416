"""Addresses, names and variables of Services: decided by functions alone, and told by a real resolver on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError, RuntimeSettings, load_manifests
from runtime.balancer.config import Bind
from runtime.discovery.answer import answer, failure, listed
from runtime.discovery.discovery import Discovery
from runtime.discovery.host import cannot_be_bound, cannot_have_addresses, is_here
from runtime.discovery.links import Links, service_variables
from runtime.discovery.network import NetworkFacts, containers_half, free_addresses, network_facts, used_addresses
from runtime.discovery.node_ports import node_ports
from runtime.discovery.resolver import Resolver
from runtime.discovery.telling import keep, tell
from runtime.discovery.zone import Zone, search_list
from runtime.engine import Engine
from runtime.events import Recorder
from runtime.manifest.model import ContainerSpec, PodTemplate, Protocol, Service, ServicePort
from runtime.store import Store
from tests.runtime.stack import ROOT, make_settings, wait_for

ZONE = Zone(
    names={
        "web.shop.svc.cluster.local": ("10.1.0.200",),
        "db.shop.svc.cluster.local": ("10.1.0.2", "10.1.0.3"),
        "idle.shop.svc.cluster.local": (),
    },
    listen=("127.0.0.77/8",),
)


def service(name: str = "web", *ports: ServicePort, **more: object) -> Service:
    made = Service(namespace="shop", name=name, selector={"a": "b"}, ports=ports or (ServicePort(port=80, target=80),))
    return replace(made, **more)  # type: ignore[arg-type]


def facts(subnet: str = "10.1.0.0/24", containers: str | None = "10.1.0.0/25") -> NetworkFacts:
    return NetworkFacts(
        id="f" * 64,
        name="n",
        bridge="br-n",
        subnet=IPv4Network(subnet),
        gateway=IPv4Address(subnet.partition("/")[0]) + 1,
        containers=IPv4Network(containers) if containers else None,
    )


def ask(name: str, kind: str = "A", *, datagram: bool = True, payload: int = 0) -> dns.message.Message | None:
    query = dns.message.make_query(name, kind, use_edns=0 if payload else -1, payload=payload or 1232)
    said = answer(query.to_wire(), ZONE, datagram=datagram)
    return None if said is None else dns.message.from_wire(said)


def test_what_the_engine_says_of_a_network() -> None:
    raw = {
        "Id": "0123456789abcdef",
        "Name": "imageforge-x-shop",
        "IPAM": {
            "Config": [
                {"Subnet": "fd00::/64"},
                {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1", "IPRange": "10.1.0.0/25"},
            ]
        },
        "Containers": {"a": {"IPv4Address": "10.1.0.2/24"}, "b": {"IPv4Address": ""}},
    }
    found = network_facts(raw)
    assert found is not None
    assert (found.bridge, found.subnet, found.gateway) == ("br-0123456789ab", facts().subnet, facts().gateway)
    assert found.containers == containers_half(found.subnet) == IPv4Network("10.1.0.0/25")
    assert used_addresses(raw) == {IPv4Address("10.1.0.2")}
    assert network_facts({**raw, "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}}) is None
    named = network_facts({**raw, "Options": {"com.docker.network.bridge.name": "br0"}})
    assert named is not None
    assert named.bridge == "br0"


def test_the_upper_half_is_for_services_and_the_last_first() -> None:
    free = list(free_addresses(facts(), frozenset({IPv4Address("10.1.0.254")})))
    assert (free[0], free[-1], len(free)) == (IPv4Address("10.1.0.253"), IPv4Address("10.1.0.128"), 126)
    # A network from before, all of which the engine may hand out.
    free = list(free_addresses(facts(containers=None), frozenset({IPv4Address("10.1.0.2")})))
    assert (free[0], free[-1]) == (IPv4Address("10.1.0.254"), IPv4Address("10.1.0.3"))


@given(
    bits=st.integers(16, 29),
    half=st.booleans(),
    taken=st.frozensets(st.integers(0, 2**32 - 1).map(IPv4Address), max_size=4),
)
def test_an_address_is_of_the_network_and_nobody_elses(bits: int, half: bool, taken: frozenset[IPv4Address]) -> None:
    subnet = IPv4Network(f"10.0.0.0/{bits}")
    of = replace(facts(str(subnet)), containers=containers_half(subnet) if half else None)
    first = next(free_addresses(of, taken), None)
    if first is not None:
        assert first in subnet
        assert first not in taken | {of.gateway, subnet.network_address, subnet.broadcast_address}
        assert not (of.containers and first in of.containers)
        assert of.may_serve(first)


def test_answers_of_our_own() -> None:
    said = ask("web.shop.svc.cluster.local")
    assert said is not None
    assert said.answer[0].to_text() == "web.shop.svc.cluster.local. 5 IN A 10.1.0.200"
    assert said.flags & dns.flags.AA
    assert said.flags & dns.flags.RA
    headless = ask("DB.shop.SVC.cluster.local")
    assert headless is not None
    assert sorted(str(item) for item in headless.answer[0]) == ["10.1.0.2", "10.1.0.3"]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("none.shop.svc.cluster.local", "A", dns.rcode.NXDOMAIN),
        ("web.shop.svc.cluster.local", "AAAA", dns.rcode.NOERROR),
        ("idle.shop.svc.cluster.local", "A", dns.rcode.NOERROR),
        ("shop.svc.cluster.local", "A", dns.rcode.NOERROR),
        ("svc.cluster.local", "A", dns.rcode.NOERROR),
        ("cluster.local", "SOA", dns.rcode.NOERROR),
        ("xcluster.cluster.local", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_without_an_address_the_name_is_unknown_or_only_of_another_kind(name: str, kind: str, code: int) -> None:
    said = ask(name, kind)
    assert said is not None
    assert (said.rcode(), said.answer) == (code, [])
    assert said.authority[0].to_text().startswith("cluster.local. 5 IN SOA")


def test_names_of_others_are_not_ours_to_answer() -> None:
    assert ask("example.org") is None
    assert ask("xcluster.local") is None
    assert ask("local") is None


def test_what_is_no_query_is_not_answered() -> None:
    for rubbish in (b"", b"\0" * 11, b"\xff" * 40, ask("web.shop.svc.cluster.local").to_wire()):  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="no query"):
            answer(rubbish, ZONE, datagram=True)
    query = dns.message.make_query("web.shop.svc.cluster.local", "A")
    query.flags |= 4 << 11  # NOTIFY
    said = answer(query.to_wire(), ZONE, datagram=True)
    assert said is not None
    assert dns.message.from_wire(said).rcode() == dns.rcode.NOTIMP


@given(st.binary(max_size=80))
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    try:
        answer(data, ZONE, datagram=True)
    except ValueError as error:
        said = str(error)
    else:
        said = "no query"
    assert said.startswith("no query")
    assert len(failure(data)) in (0, len(data))


def test_a_long_answer_is_cut_for_a_datagram_and_whole_by_stream() -> None:
    many = Zone(names={"m.n.svc.cluster.local": tuple(f"10.0.{number}.1" for number in range(200))})
    query = dns.message.make_query("m.n.svc.cluster.local", "A").to_wire()
    short, whole = (answer(query, many, datagram=datagram) for datagram in (True, False))
    assert short is not None
    assert whole is not None
    assert len(short) <= 512
    assert dns.message.from_wire(short).flags & dns.flags.TC
    assert len(dns.message.from_wire(whole).answer[0]) == 200


def test_the_hosts_resolvers() -> None:
    text = (
        "# x\nnameserver 1.1.1.1\nsearch a\nnameserver 10.1.0.1\nnameserver 1.1.1.1\nnameserver\nnameserver ::1 # y\n"
    )
    assert listed(text, ["10.1.0.1"]) == ("1.1.1.1", "::1")


def test_a_zone_as_text() -> None:
    assert Zone.from_json(ZONE.to_json()) == ZONE
    assert Zone.from_json('{"names": {}, "listen": [], "later": 1}') == Zone()
    for text in ("[]", "{}", "x", '{"names": [], "listen": 1}', "null"):
        with pytest.raises(ValueError):
            Zone.from_json(text)
    assert search_list("shop")[0] == "shop.svc.cluster.local"


def test_variables_of_services() -> None:
    found = [
        service("redis-master", *PORTS),
        service("other"), service("none", headless=True), replace(service("far"), namespace="away"),
    ]  # fmt: skip
    addresses = {("shop", "redis-master"): "10.0.0.11", ("away", "far"): "10.0.0.12", ("shop", "none"): "10.0.0.13"}
    assert service_variables(found, addresses, "shop") == {
        "REDIS_MASTER_SERVICE_HOST": "10.0.0.11",
        "REDIS_MASTER_SERVICE_PORT": "6379",
        "REDIS_MASTER_SERVICE_PORT_REDIS": "6379",
        "REDIS_MASTER_SERVICE_PORT_X_Y": "80",
        "REDIS_MASTER_PORT": "tcp://10.0.0.11:6379",
        "REDIS_MASTER_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "REDIS_MASTER_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_MASTER_PORT_6379_TCP_PORT": "6379",
        "REDIS_MASTER_PORT_6379_TCP_ADDR": "10.0.0.11",
        "REDIS_MASTER_PORT_80_TCP": "tcp://10.0.0.11:80",
        "REDIS_MASTER_PORT_80_TCP_PROTO": "tcp",
        "REDIS_MASTER_PORT_80_TCP_PORT": "80",
        "REDIS_MASTER_PORT_80_TCP_ADDR": "10.0.0.11",
    }


def test_ports_of_the_machine() -> None:
    asked = ServicePort(port=80, target=80, name="a", node_port=30007)
    free = ServicePort(port=81, target=81, name="b")
    of = service("web", asked, free, type="NodePort")
    assert node_ports(of, {}, {30086}, lambda number: number != 30087) == {"a": 30007, "b": 30088}
    assert node_ports(of, {"b": 31000}, (), lambda _: True) == {"a": 30007, "b": 31000}
    assert node_ports(of, {"b": 31000}, {31000}, lambda _: True) == {"a": 30007, "b": 30086}
    upper = set(range(30086, 32768))
    assert node_ports(of, {}, upper, lambda _: True)["b"] == 30000
    assert node_ports(of, {}, upper | set(range(30000, 30086)), lambda _: True) == {"a": 30007}
    assert node_ports(replace(of, type="ClusterIP"), {"a": 30007}, (), lambda _: True) == {}


@pytest.mark.parametrize(
    ("name", "app_protocol", "forced", "spoken"),
    [
        ("", "", "", Protocol.TCP),
        ("http", "", "", Protocol.HTTP),
        ("http-admin", "", "", Protocol.HTTP),
        ("https", "", "", Protocol.TCP),
        ("httpd", "", "", Protocol.TCP),
        ("grpc", "", "", Protocol.H2C),
        ("grpc-web", "", "", Protocol.HTTP),
        ("grpc-api", "", "", Protocol.H2C),
        ("redis", "", "", Protocol.TCP),
        ("x", "http", "", Protocol.HTTP),
        ("http", "https", "", Protocol.TCP),
        ("x", "kubernetes.io/h2c", "", Protocol.H2C),
        ("x", "kubernetes.io/ws", "", Protocol.HTTP),
        ("x", "kubernetes.io/wss", "", Protocol.TCP),
        ("x", "", "http", Protocol.HTTP),
        ("grpc", "", "http", Protocol.H2C),
        ("http", "http", "tcp", Protocol.TCP),
    ],
)
def test_what_a_port_speaks(name: str, app_protocol: str, forced: str, spoken: Protocol) -> None:
    port = ServicePort(port=80, target=80, name=name, app_protocol=app_protocol)
    assert service("web", port, protocol=forced).speaks(port) is spoken


def test_the_port_of_a_host_speaks_http() -> None:
    first, second = ServicePort(port=80, target=80, name="http"), ServicePort(port=6379, target=1, name="redis")
    of = service("web", second, first, hosts=("a.localhost",))
    assert [of.speaks(port) for port in of.ports] == [Protocol.TCP, Protocol.HTTP]
    alone = service("web", hosts=("a.localhost",))
    assert alone.speaks(alone.ports[0]) is Protocol.HTTP


PORTS = (ServicePort(port=6379, target=6379, name="redis"), ServicePort(port=80, target=1, name="x-y"))
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: db, annotations: {imageforge.io/balance: leastconn, imageforge.io/protocol: tcp}}
spec: {clusterIP: None, selector: {app: db}, sessionAffinity: ClientIP}
"""


def test_a_headless_service_needs_no_port() -> None:
    parsed = load_manifests(SERVICE)[0].object
    assert isinstance(parsed, Service)
    assert (parsed.headless, parsed.ports, parsed.affinity, parsed.least_connections) == (True, (), 10800, True)
    for old, new, said in [
        ("clusterIP: None, ", "", "spec.ports is missing"),
        ("leastconn", "random", 'is "random", expected roundrobin or leastconn'),
        ("protocol: tcp", "protocol: udp", 'is "udp", expected http or tcp'),
        ("selector: {app: db}", "selector: {}", "expected the labels of the replicas"),
    ]:
        with pytest.raises(ManifestError) as caught:
            load_manifests(SERVICE.replace(old, new))
        assert said in str(caught.value)


def test_what_the_host_cannot_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not of this host" in cannot_have_addresses("tcp://10.0.0.1:2375")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "not run as root" in cannot_have_addresses("unix:///run/docker.sock")


def test_addresses_and_ports_are_asked_of_the_kernel() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.1")
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        assert "is taken" in cannot_be_bound(Bind(address="127.0.0.1", port=port))
        # What is not there yet can be bound nonetheless, as HAProxy's `transparent` does.
        assert cannot_be_bound(Bind(address="192.0.2.1", port=port)) == ""
    assert cannot_be_bound(Bind(address="127.0.0.1", port=port)) == ""


class Upstream(asyncio.DatagramProtocol):
    """A resolver of the host, which says the same of every name, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if not self.silent:
            self.transport.sendto(self.said(data), addr)  # type: ignore[attr-defined]

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        said = self.said(await reader.readexactly(size))
        writer.write(len(said).to_bytes(2, "big") + said)
        writer.close()

    def said(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        said = dns.message.make_response(query)
        said.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.7"))
        return said.to_wire()


async def first(name: str, where: str, port: int, *, stream: bool = False) -> str:
    """The first address of the answer, or its code."""
    query = dns.message.make_query(name, "A")
    ask = dns.asyncquery.tcp if stream else dns.asyncquery.udp
    said = await ask(query, where, port=port, timeout=10)
    return str(said.answer[0][0]) if said.answer else dns.rcode.to_text(said.rcode())


def test_a_resolver_on_loopback(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers what is ours, passes on what is others', by datagram and by stream; listeners come and go."""
    monkeypatch.setattr("runtime.discovery.resolver.UPSTREAM_SECONDS", 0.2)
    resolv_conf = tmp_path / "resolv.conf"
    # The second is ourselves, and is not asked.
    resolv_conf.write_text("nameserver 127.0.0.78\nnameserver 127.0.0.77\n")
    ours, others = "127.0.0.77", "127.0.0.78"

    async def life() -> None:
        upstream = Upstream()
        loop = asyncio.get_running_loop()
        resolver = Resolver(port=free_port, resolv_conf=resolv_conf, others_port=free_port)
        assert await resolver.adopt(ZONE) == {}
        for stream in (False, True):
            assert await first("web.shop.svc.cluster.local", ours, free_port, stream=stream) == "10.1.0.200"
        # Nobody is there to be asked.
        assert await first("example.org", ours, free_port) == "SERVFAIL"
        transport, _ = await loop.create_datagram_endpoint(lambda: upstream, local_addr=(others, free_port))
        server = await asyncio.start_server(upstream.converse, others, free_port)
        for stream in (False, True):
            assert await first("example.org", ours, free_port, stream=stream) == "192.0.2.7"
        many = [first(f"{number}.example.org", ours, free_port) for number in range(50)]
        assert set(await asyncio.gather(*many)) == {"192.0.2.7"}
        assert upstream.asked == 51
        upstream.silent = True
        assert await first("example.org", ours, free_port) == "SERVFAIL"
        monkeypatch.setattr("runtime.discovery.resolver.MOST_AT_ONCE", 0)
        assert await first("example.org", ours, free_port) == "SERVFAIL"
        transport.close()
        server.close()

        # What is taken is said and tried again; what is not wanted any more is given back at once.
        stranger = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stranger.bind(("127.0.0.79", free_port))
        stranger.listen()
        assert await resolver.adopt(replace(ZONE, listen=("127.0.0.79/8",))) == {
            "127.0.0.79/8": "Address already in use"
        }
        assert resolver.failed
        stranger.close()
        await resolver.retry()
        assert not resolver.failed
        assert await first("web.shop.svc.cluster.local", "127.0.0.79", free_port) == "10.1.0.200"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((ours, free_port))
        resolver.close()

    asyncio.run(life())


def test_strangers_are_not_answered(free_port: int) -> None:
    async def life() -> None:
        resolver = Resolver(port=free_port)
        # Who asks comes from 127.0.0.1, which is not of that network.
        await resolver.adopt(replace(ZONE, listen=("127.9.9.9/32",)))
        query = dns.message.make_query("web.shop.svc.cluster.local", "A")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, "127.9.9.9", port=free_port, source="127.0.0.1", timeout=0.3)
        resolver.close()

    asyncio.run(life())


@pytest.fixture
def settings(short_path: Path) -> RuntimeSettings:
    return make_settings(short_path, "abc", "", 8700)


@contextlib.contextmanager
def resolver_process(settings: RuntimeSettings) -> Iterator[subprocess.Popen[str]]:
    file = settings.store.with_name("settings.json")
    file.write_text(settings.to_json())
    command = [sys.executable, "-m", "runtime.discovery", "--settings", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(settings.resolver_socket.exists)
        yield process
    finally:
        process.terminate()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


def test_the_process_is_told_and_remembers(settings: RuntimeSettings) -> None:
    where = "127.0.0.77"
    zone = replace(ZONE, listen=(f"{where}/8",))

    def known() -> str:
        query = dns.message.make_query("web.shop.svc.cluster.local", "A")
        said = dns.query.udp(query, where, timeout=5)
        return str(said.answer[0][0])

    with pytest.raises(OSError, match="No such file"):
        tell(zone, settings.resolver_socket)
    keep(zone, settings.zone)
    with resolver_process(settings) as process:
        assert settings.resolver_socket.stat().st_mode & 0o777 == 0o600
        assert known() == "10.1.0.200"
        assert tell(replace(zone, names={"web.shop.svc.cluster.local": ("10.1.0.9",)}), settings.resolver_socket) == {}
        assert known() == "10.1.0.9"
        # Who says something else is not believed, and harms nothing.
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(settings.resolver_socket))
            stranger.sendall(b"{}\n")
            assert stranger.recv(100) == b""
        assert known() == "10.1.0.9"
        second = subprocess.run(
            [*process.args],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,  # type: ignore[misc]
        )
        assert (second.returncode, "resolver-running" in second.stderr) == (1, True)
        assert known() == "10.1.0.9"
    assert not settings.resolver_socket.exists()


def test_a_zone_that_cannot_be_read_keeps_nobody_from_starting(settings: RuntimeSettings) -> None:
    settings.zone.write_text("{")
    with resolver_process(settings):
        assert tell(ZONE, settings.resolver_socket) == {}


def test_where_a_service_can_have_no_address_it_is_said_by_name(short_path: Path) -> None:
    """Hosts and ports of the machine are served all the same; what was given is kept, and given back."""
    settings = make_settings(short_path, "abc", "tcp://192.0.2.1:2375", 8700)
    store = Store(settings.store)
    events = Recorder(store)
    asks = service("asks", ServicePort(port=80, target=80, node_port=30007), type="NodePort")
    some = service("some", type="NodePort")
    services = (asks, some, service("plain"))

    def discovery() -> Discovery:
        # Nobody asks the engine of another host for anything.
        return Discovery(settings, store, Engine(settings.engine), lambda: services, events)

    made = discovery()
    assert made.sync(services, ()) == frozenset()
    status = made.status(services[2], ())
    assert (status.address, status.message) == (
        "",
        "it has no address of its own: the engine, tcp://192.0.2.1:2375, is not of this host",
    )
    assert [(event.name, event.reason, event.warning) for event in events.past()] == [
        (item.name, "AddressUnavailable", True) for item in services
    ]
    made.sync(services, ())
    assert {event.count for event in events.past()} == {1}
    given = made.status(some, ()).ports[0].node_port
    assert made.bound()["shop", "asks"].ports == {80: (Bind(address="127.0.0.1", port=30007),)}
    assert made.bound()["shop", "some"].ports == {80: (Bind(address="127.0.0.1", port=given),)}
    assert made.bound()["shop", "plain"].ports == {80: ()}
    assert made.links("shop", PodTemplate(container=ContainerSpec(name="a", image="b"), labels={})) == Links()

    # A later controller goes on with the same, also where another program has the port by then: that is said.
    with socket.create_server(("127.0.0.1", given)):
        later = discovery()
        later.sync(services, ())
        port = later.status(some, ()).ports[0]
        assert (port.node_port, later.bound()["shop", "some"].ports) == (given, {80: ()})
        assert f"127.0.0.1:{given} is taken" in port.problem
        assert events.past(name="some")[-1].reason == "PortUnavailable"
    later.sync(services, ())
    assert later.status(some, ()).ports[0].problem == ""
    assert later.sync(services[:1], ()) == {"shop"}
    assert set(store.service_places()) == {("shop", "asks")}
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="others are told before the engine is asked")
def test_an_engine_that_does_not_answer_takes_no_address_away(short_path: Path) -> None:
    # It hangs up on everybody: where none listens, the SDK leaves its socket to the garbage collector.
    silent = socketserver.UnixStreamServer(f"{short_path}/none.sock", socketserver.BaseRequestHandler)
    threading.Thread(target=silent.serve_forever, args=(0.02,), daemon=True).start()
    settings = make_settings(short_path, "abc", f"unix://{short_path}/none.sock", 8700)
    store = Store(settings.store)
    # One that is reached all the same, as when the engine is away for a moment.
    store.put_service_place("shop", "old", "127.0.0.1", {})
    services = (service("old"), service("new"), service("other"))
    engine = Engine(settings.engine)
    made = Discovery(settings, store, engine, lambda: services, Recorder(store))
    made.sync(services, ())
    old, new, other = (made.status(item, ()) for item in services)
    assert old.address == "127.0.0.1"
    assert new.address == other.address == ""
    assert new.message == other.message
    assert new.message.startswith("it has no address of its own yet: the engine does not answer")
    assert "the resolver does not answer" in old.message
    assert store.service_places()["shop", "old"] == ("127.0.0.1", {})
    # For its next start the resolver is told all the same.
    assert Zone.from_json(settings.zone.read_text()).names == {"old.shop.svc.cluster.local": ("127.0.0.1",)}
    store.close()
    engine.close()
    silent.shutdown()
    silent.server_close()
