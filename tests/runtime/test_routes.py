"""Where Services lead: to the ports of each replica, and to those that end where nothing else is there."""

from __future__ import annotations

from dataclasses import replace

from runtime.balancer.config import Bind, Server
from runtime.container import Identity, container_request
from runtime.discovery.links import Asked, Links, asked
from runtime.discovery.zone import zone
from runtime.manifest.lookup import Lookup
from runtime.manifest.model import ContainerPort, ContainerSpec, PodTemplate, Protocol, Service, ServicePort
from runtime.manifest.template import template_hash
from runtime.roster import Replica
from runtime.routes import Bound, endpoints, places, wanted_backends
from runtime.sources import Sources

PORTS = (ServicePort(port=80, target="http", name="http"), ServicePort(port=6379, target="redis", name="redis"))
SERVICE = Service(namespace="shop", name="web", selector={"app": "web"}, ports=PORTS)
HTTP, REDIS = Bind(address="10.1.0.200", port=80), Bind(address="10.1.0.200", port=6379)
BOUND = {("shop", "web"): Bound(ports={80: (HTTP,), 6379: (REDIS,)})}


def replica(name: str, **more: object) -> Replica:
    ports = (ContainerPort(number=8080, name="http"), ContainerPort(number=6379, name="redis"))
    container = ContainerSpec(name="web", image="web:1", ports=ports)
    made = Replica(
        name=name,
        namespace="shop",
        deployment="web",
        template_hash="h",
        template=PodTemplate(container=container, labels={"app": "web"}),
        created_at=0.0,
        running=True,
        ready=True,
        address=f"10.1.0.{ord(name)}",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def with_port(made: Replica, number: int) -> Replica:
    container = replace(made.template.container, ports=(ContainerPort(number=number, name="http"),))
    return replace(made, template=replace(made.template, container=container))


def test_a_named_port_is_looked_up_in_each_replica() -> None:
    a, b = replica("a"), with_port(replica("b"), 9090)
    http, redis = wanted_backends([SERVICE], [a, b], BOUND)
    assert (http.name, http.binds, http.protocol) == ("shop_web", (HTTP,), Protocol.HTTP)
    assert (redis.name, redis.binds, redis.protocol) == ("shop_web_redis", (REDIS,), Protocol.TCP)
    assert http.servers == (
        Server(name="a", address=a.address, port=8080),
        Server(name="b", address=b.address, port=9090),
    )
    assert redis.servers == (Server(name="a", address=a.address, port=6379),)
    # It is admitted where it is, and not waited for where it is not.
    assert places([SERVICE], b, BOUND) == {("shop_web", "b")}
    assert places([SERVICE], a, BOUND) == {("shop_web", "a"), ("shop_web_redis", "a")}
    assert places([SERVICE], a, {}) == frozenset()
    # A host that leads to nothing holds a rollout up.
    routed = replace(SERVICE, hosts=("a.localhost",), ports=(ServicePort(port=80, target="web", name="http"),))
    assert places([routed], a, {}) == {("shop_web", "a")}
    assert wanted_backends([routed], [a], {})[0].servers == ()


def test_those_that_end_serve_where_nothing_else_does() -> None:
    ends = replica("a", ready=False, was_ready=True, terminating=True)
    never = replica("b", ready=False, terminating=True)
    assert endpoints(SERVICE, [ends, never]) == (ends,)
    assert endpoints(SERVICE, [ends, never, replica("c")]) == (replica("c"),)
    assert endpoints(SERVICE, [replace(ends, running=False)]) == ()
    assert [server.name for server in wanted_backends([SERVICE], [ends, never], BOUND)[0].servers] == ["a"]


def test_variables_of_services_come_last_and_can_be_expanded() -> None:
    spec = ContainerSpec(
        name="web",
        image="web:1",
        env=(("DB_SERVICE_PORT", "mine"), ("URL", "redis://$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)")),
        args=("--db=$(DB_SERVICE_HOST)",),
    )
    links = Links(
        variables={"DB_SERVICE_HOST": "10.1.0.9", "DB_SERVICE_PORT": "6379"}, nameserver="10.1.0.1", search=("x.y",)
    )
    who = Identity(instance="i", namespace="shop", deployment="web", replica="r", template_hash="h", revision=1)
    request = container_request(PodTemplate(container=spec, labels={}), who, Sources(namespace="default"), {}, links)
    assert request.env == {
        "DB_SERVICE_HOST": "10.1.0.9",
        "DB_SERVICE_PORT": "mine",
        "URL": "redis://10.1.0.9:mine",
    }
    assert request.command == ("--db=10.1.0.9",)
    there = asked(Lookup(), links, Asked)
    assert (there.nameservers, there.search, there.options) == (("10.1.0.1",), ("x.y",), ("ndots:5",))


def test_a_template_that_says_nothing_of_links_has_the_hash_that_it_had() -> None:
    template = PodTemplate(container=ContainerSpec(name="web", image="web:1"), labels={"app": "web"})
    assert template_hash(template) == "6fbd8958fc"
    assert template_hash(replace(template, service_links=False)) != "6fbd8958fc"


def test_a_pod_has_a_name_of_its_own_below_the_headless_service_that_is_its_subdomain() -> None:
    def named(name: str, hostname: str, subdomain: str, **more: object) -> Replica:
        made = replica(name, **more)
        return replace(made, template=replace(made.template, hostname=hostname, subdomain=subdomain))

    db = Service(namespace="shop", name="db", selector={"app": "web"}, ports=(), headless=True)
    plain = Service(namespace="shop", name="plain", selector={"app": "web"}, ports=(ServicePort(port=80, target=80),))
    replicas = [
        named("a", "one", "db"), named("b", "two", "db"), named("c", "two", "db"), named("d", "", "db"),
        named("e", "three", "other"), named("f", "four", "plain"), named("g", "five", "db", ready=False),
        named("h", "six", "db", namespace="elsewhere"),
    ]  # fmt: skip
    found = zone([db, plain], {("shop", "plain"): "10.1.9.9"}, replicas, []).names
    whole = "db.shop.svc.cluster.local"
    assert found == {
        whole: ("10.1.0.100", "10.1.0.101", "10.1.0.102", "10.1.0.97", "10.1.0.98", "10.1.0.99"),
        f"one.{whole}": ("10.1.0.97",),
        f"two.{whole}": ("10.1.0.98", "10.1.0.99"),
        "plain.shop.svc.cluster.local": ("10.1.9.9",),
    }
