"""Services by their names and addresses, the whole way: a real engine, HAProxy, the resolver and the controller."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest

from runtime import ServiceStatus
from tests.runtime.load import Session
from tests.runtime.stack import ROOT, Stack, manifest, wait_for

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root puts addresses on a bridge, which is tested elsewhere"),
]

SERVICES = """
---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec:
  type: NodePort
  selector: {app: hello}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: each}
spec: {clusterIP: None, selector: {app: hello}}
"""
LOOK_UP = "import socket; print(*sorted({item[4][0] for item in socket.getaddrinfo('%s', 80, socket.AF_INET)}))"
FETCH = "import urllib.request; print(urllib.request.urlopen('http://%s/', timeout=9).read().decode().split()[0])"


@pytest.fixture
def resolver(stack: Stack) -> Iterator[None]:
    """The resolver beside HAProxy and the controller."""
    command = [sys.executable, "-m", "runtime.discovery", "--settings", str(stack.home / "settings.json")]
    with (stack.home / "resolver.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    wait_for(stack.settings.resolver_socket.exists)
    yield
    process.terminate()
    process.wait(30)
    assert "Traceback" not in (stack.home / "resolver.log").read_text()


class Inside:
    """Python in a container, asked what it sees."""

    def __init__(self, client: docker.DockerClient, container_id: str) -> None:
        self._container = client.containers.get(container_id)

    def python(self, text: str) -> str:
        code, output = self._container.exec_run(["python3", "-c", text])
        return output.decode().strip() if code == 0 else f"failed: {output.decode().strip().splitlines()[-1]}"

    def look_up(self, name: str) -> str:
        return self.python(LOOK_UP % name)

    def fetch(self, name: str) -> str:
        return self.python(FETCH % name)

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.partition("=")[::2] for item in self._container.attrs["Config"]["Env"])

    @property
    def search(self) -> list[str]:
        found: list[str] = self._container.attrs["HostConfig"]["DnsSearch"]
        return found[:3]


def service(stack: Stack, name: str, namespace: str = "default") -> ServiceStatus:
    return next(item for item in stack.client.services(namespace) if item.name == name)


def on_bridge(address: str) -> bool:
    shown = subprocess.run(["ip", "-o", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
    return f" {address}/32 " in shown


@pytest.mark.usefixtures("resolver")
def test_services_have_addresses_and_names(stack: Stack, app_image: str, docker_client: docker.DockerClient) -> None:
    away = manifest(app_image, name="away", replicas=1, service=False).replace(
        "metadata:\n  name: away", "metadata:\n  name: away\n  namespace: other", 1
    )
    stack.client.apply(manifest(app_image, replicas=2) + SERVICES)
    stack.client.apply(away)
    status = stack.until_complete("hello")
    stack.until("away", lambda item: item.available == 1, namespace="other")
    names = {replica.name for replica in status.replica_list}
    addresses = sorted(replica.address for replica in status.replica_list)

    plain, hello, each = (service(stack, name) for name in ("plain", "hello", "each"))
    assert plain.message == hello.message == each.message == ""
    assert plain.address != hello.address
    assert (each.address, each.headless, sorted(each.endpoints)) == ("", True, addresses)
    assert [port.protocol for port in (*plain.ports, *hello.ports)] == ["tcp", "http"]
    assert on_bridge(plain.address)

    # The four names, from the same namespace; short ones stay in it.
    here = Inside(docker_client, status.replica_list[0].container_id)
    # It asks the gateway itself: the engines that can be kept from it have put no resolver in between.
    first, search, options = here.python("print(open('/etc/resolv.conf').read())").splitlines()
    assert first.startswith("nameserver 10.")
    assert (search.split()[:2], options.split()[-1]) == (["search", "default.svc.cluster.local"], "ndots:5")
    if int(docker_client.version()["Version"].split(".")[0]) < 25:
        assert "0B00007F" not in here.python("print(open('/proc/net/udp').read())")
    for name in ("plain", "plain.default", "plain.default.svc", "plain.default.svc.cluster.local"):
        assert here.look_up(name) == plain.address
    assert here.look_up("each") == " ".join(addresses)
    assert "Name or service not known" in here.look_up("nobody.default.svc.cluster.local.")
    assert here.fetch("plain") in names
    assert here.fetch("hello") in names
    there = Inside(docker_client, stack.client.deployment("other", "away").replica_list[0].container_id)
    # A name that nobody knows goes to the host's resolvers in the end, for which a test does not wait.
    assert there.search == ["other.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    assert "Name or service not known" in there.look_up("plain.other.svc.cluster.local.")
    assert there.look_up("plain.default") == plain.address
    assert there.fetch("plain.default") in names
    assert here.environment["PLAIN_SERVICE_HOST"] == plain.address
    assert here.environment["PLAIN_PORT_80_TCP"] == f"tcp://{plain.address}:80"
    assert "PLAIN_SERVICE_HOST" not in there.environment
    assert plain.ports[0].node_port >= 30086
    with Session(plain.ports[0].node_port) as session:
        assert session.get("/").split()[0] in names

    # An address that was lost comes back, and HAProxy serves it then as before.
    subprocess.run(["ip", "address", "del", f"{plain.address}/32", "dev", bridge_of(plain.address)], check=True)
    wait_for(lambda: on_bridge(plain.address))
    assert here.fetch("plain") in names

    # The names and the addresses outlive the controller.
    stack.stop_controller(kill=True)
    assert here.look_up("plain") == plain.address
    assert here.fetch("plain") in names
    stack.start_controller()
    assert service(stack, "plain").address == plain.address
    assert here.fetch("plain") in names

    # A replica that goes is in no answer any more.
    stack.client.scale("default", "hello", 1)
    last = stack.until("hello", lambda item: item.current == 1 and item.phase == "complete").replica_list[0]
    here = Inside(docker_client, last.container_id)
    wait_for(lambda: here.look_up("each") == last.address)

    # What is given back is given back.
    for name in ("plain", "each", "hello"):
        stack.client.delete("default", "Service", name)
    wait_for(lambda: not on_bridge(plain.address))
    assert "Name or service not known" in here.look_up("plain.default.svc.cluster.local.")


def bridge_of(address: str) -> str:
    shown = subprocess.run(["ip", "-o", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
    return next(line.split()[1] for line in shown.splitlines() if f" {address}/32 " in line)
