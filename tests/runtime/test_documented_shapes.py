"""Manifests in the shapes of Kubernetes' documentation: each is accepted, and means here what it means there."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from _pytest.mark.structures import MarkDecorator

from runtime import ManifestError, load_manifests
from runtime.balancer.config import Backend, Bind, Server, render, stamp
from runtime.claims import refuse_conflicts
from runtime.discovery.links import Asked, Links, asked
from runtime.discovery.node_ports import node_ports
from runtime.discovery.resolv_conf import host_asked
from runtime.errors import Conflict
from runtime.logins import logins_for
from runtime.manifest.lookup import Alias, Lookup
from runtime.manifest.model import Deployment, Pod, PodTemplate, Protocol, Secret, Service
from runtime.manifest.template import template_hash
from runtime.policy import Policy, allowed_by, refusal
from runtime.resources import Amounts, Machine, why_not
from runtime.room import Room
from runtime.sources import Sources
from runtime.volumes import folders
from tests.runtime.stack import Stack, make_settings, wait_for

engine: MarkDecorator = pytest.mark.engine

BALANCED = """
apiVersion: v1
kind: Service
metadata: {name: front, labels: {app.kubernetes.io/name: front}}
spec:
  type: LoadBalancer
  selector: {app: front}
  ports: [{port: 80, targetPort: http, protocol: TCP, nodePort: 0}]
  loadBalancerSourceRanges: [10.0.0.9/8, 192.168.0.0/16]
  externalTrafficPolicy: Cluster
  internalTrafficPolicy: Local
  ipFamilyPolicy: PreferDualStack
  ipFamilies: [IPv4]
  trafficDistribution: PreferClose
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: shaped, labels: {app: shaped}}
spec:
  serviceAccountName: default
  automountServiceAccountToken: false
  shareProcessNamespace: true
  nodeName: this-machine
  dnsPolicy: None
  dnsConfig:
    nameservers: [192.0.2.1]
    searches: [ns1.example.com, my.search.suffix]
    options: [{name: ndots, value: "2"}, {name: edns0}]
  hostAliases:
    - {ip: 127.0.0.1, hostnames: [one.local, two.local]}
    - {ip: "10.1.2.3", hostnames: [far.remote]}
  tolerations: [{key: example.com/level, operator: Gt, value: "900", effect: NoSchedule}]
  containers:
    - name: web
      image: web:1
      ports: [{containerPort: 80, hostPort: 8081}]
      resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]
      resources: {limits: {cpu: 250m, memory: 64Mi}, requests: {cpu: 125m}}
      volumeMounts: [{name: told, mountPath: /etc/told}]
    - {name: shell, image: shell:1, stdin: true, tty: true}
  volumes:
    - name: told
      downwardAPI:
        items:
          - {path: limit, resourceFieldRef: {containerName: web, resource: limits.cpu, divisor: 1m}}
          - {path: memory, resourceFieldRef: {containerName: web, resource: limits.memory, divisor: 1Mi}}
"""
SECRETS = """
apiVersion: v1
kind: Secret
metadata: {name: join}
type: bootstrap.kubernetes.io/token
stringData: {token-id: abcdef}
---
apiVersion: v1
kind: Secret
metadata: {name: own}
type: example.com/whatever
stringData: {key: value}
---
apiVersion: v1
kind: Secret
metadata: {name: old}
type: kubernetes.io/dockercfg
stringData: {.dockercfg: '{"quay.io": {"username": "me", "password": "hunter2"}}'}
"""
HERE = Machine(size=Amounts(cpu=2000, memory=2**30), labels={"kubernetes.io/hostname": "this-machine"})


def only(text: str) -> Any:
    (document,) = load_manifests(text)
    return document.object


def template(text: str = POD) -> PodTemplate:
    found = only(text)
    assert isinstance(found, Pod)
    return found.template


def test_a_load_balancer_has_ports_of_the_machine() -> None:
    found = only(BALANCED)
    assert isinstance(found, Service)
    assert (found.type, found.ports[0].node_port) == ("LoadBalancer", None)
    assert found.source_ranges == ("10.0.0.0/8", "192.168.0.0/16")
    assert node_ports(found, {}, (), lambda _: True) == {"": 30086}
    assert node_ports(found, {"": 30100}, (), lambda _: True) == {"": 30100}
    asks = replace(found, name="asks", ports=(replace(found.ports[0], node_port=30100),))
    with pytest.raises(Conflict, match="30100"):
        refuse_conflicts([asks, found], (), {("default", "front"): {"": 30100}})


def test_who_comes_from_elsewhere_is_refused_at_the_machines_port_alone(short_path: Path) -> None:
    ranges = ("10.0.0.0/8", "fd00::/8")
    binds = (Bind(address="127.0.0.1", port=30086, sources=ranges), Bind(address="10.1.0.9", port=80))
    backend = Backend(
        name="n_web", hosts=(), servers=(Server(name="a", address="10.0.0.1", port=80),), binds=binds,
        protocol=Protocol.TCP,
    )  # fmt: skip
    settings = make_settings(short_path, "abc", "", 8700)
    text = render(settings, (backend,))
    refused = "tcp-request connection reject if { dst_port 30086 } !{ src 10.0.0.0/8 fd00::/8 }"
    assert [line.strip() for line in text.splitlines() if "reject" in line] == [refused]
    (short_path / "haproxy.cfg").write_text(text)
    (short_path / "hosts.map").write_text("")
    run = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", short_path / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    bare = replace(backend, binds=(replace(binds[0], sources=()), binds[1]))
    assert "reject" not in render(settings, (bare,))
    assert stamp(settings, (bare,)) != stamp(settings, (backend,)), "it takes a reload"


def test_secrets_of_any_type() -> None:
    join, own, old = (document.object for document in load_manifests(SECRETS))
    assert isinstance(join, Secret)
    assert isinstance(own, Secret)
    assert isinstance(old, Secret)
    assert (join.type, own.type) == ("bootstrap.kubernetes.io/token", "example.com/whatever")
    assert [login.username for login in logins_for("quay.io/app", old.data[".dockercfg"])] == ["me"]
    wrong = SECRETS.rpartition("---")[2].replace('"quay.io"', "quay.io")
    with pytest.raises(ManifestError, match=r"\.dockercfg is not a JSON object"):
        load_manifests(wrong)


CLUSTER = Links(nameserver="10.1.0.1", search=("default.svc.cluster.local", "svc.cluster.local"))


def host() -> Asked:
    return Asked(nameservers=("9.9.9.9",), search=("lan",), options=("edns0",))


@pytest.mark.parametrize(
    ("said", "links", "expected"),
    [
        (Lookup(), CLUSTER, Asked(nameservers=("10.1.0.1",), search=CLUSTER.search, options=("ndots:5",))),
        (Lookup(), Links(), Asked()),
        (Lookup(policy="Default"), CLUSTER, Asked()),
        (
            Lookup(searches=("my.lan",), options=("ndots:2", "rotate")),
            CLUSTER,
            Asked(nameservers=("10.1.0.1",), search=(*CLUSTER.search, "my.lan"), options=("ndots:2", "rotate")),
        ),
        (
            Lookup(policy="Default", nameservers=("1.1.1.1",)),
            CLUSTER,
            Asked(nameservers=("9.9.9.9", "1.1.1.1"), search=("lan",), options=("edns0",)),
        ),
        # Without a resolver of ours it is the machine's way, to which its own is added.
        (
            Lookup(options=("rotate",)),
            Links(),
            Asked(nameservers=("9.9.9.9",), search=("lan",), options=("edns0", "rotate")),
        ),
        (Lookup(policy="None", nameservers=("1.1.1.1",)), CLUSTER, Asked(nameservers=("1.1.1.1",))),
    ],
)
def test_where_containers_ask_for_names(said: Lookup, links: Links, expected: Asked) -> None:
    assert asked(said, links, host) == expected


def test_how_the_machine_asks(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert host_asked(path) == Asked()
    path.write_text("# x\nnameserver 1.1.1.1\nsearch a\ndomain b\noptions ndots:2 rotate\nnameserver\n")
    assert host_asked(path) == Asked(nameservers=("1.1.1.1",), search=("b",), options=("ndots:2", "rotate"))
    # A resolver of this host's own cannot be asked from a container; it names those that it asks itself.
    path.write_text("nameserver 127.0.0.53\nsearch a\n")
    stub = tmp_path / "systemd.conf"
    assert host_asked(path, stub) == Asked(search=("a",))
    stub.write_text("nameserver 9.9.9.9\nsearch c\n")
    assert host_asked(path, stub) == Asked(nameservers=("9.9.9.9",), search=("c",))


def test_what_a_pod_says_of_names_nodes_and_processes() -> None:
    found = template()
    assert found.lookup == Lookup(
        policy="None",
        nameservers=("192.0.2.1",),
        searches=("ns1.example.com", "my.search.suffix"),
        options=("ndots:2", "edns0"),
        aliases=(
            Alias(address="127.0.0.1", names=("one.local", "two.local")),
            Alias(address="10.1.2.3", names=("far.remote",)),
        ),
    )
    assert (found.host_ports, found.node_name, found.shares_processes) == (((8081, 80),), "this-machine", True)
    assert found.is_group
    plain = PodTemplate(container=found.container, labels={})
    said = [replace(plain, lookup=Lookup(policy="Default")), replace(plain, shares_processes=True), plain]
    assert len({template_hash(each) for each in said}) == 3


def test_what_says_what_is_so_anyway_is_accepted() -> None:
    more = "nodeName: this-machine\n  hostNetwork: false\n  hostPID: false\n  hostIPC: false\n  hostUsers: true"
    assert template(POD.replace("nodeName: this-machine", more)) == template()
    said = DEPLOYED.replace("PORT", "8081")
    named = said.replace("metadata: {labels: {app: shaped}}", "metadata: {name: any, labels: {app: shaped}}")
    assert named != said
    assert template_hash(only(named).template) == template_hash(only(said).template)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("runAsUser: 1000, runAsGroup: 3000, supplementalGroupsPolicy: Strict", ""),
        ("runAsUser: 1000, supplementalGroupsPolicy: Strict", "is Strict, and container web has no runAsGroup"),
        ("runAsGroup: 3000, supplementalGroupsPolicy: Merge", "supported is Strict"),
    ],
)
def test_which_groups_the_image_adds(said: str, refused: str) -> None:
    text = POD.replace("nodeName: this-machine", f"securityContext: {{{said}}}")
    if not refused:
        template(text)
        return
    with pytest.raises(ManifestError) as caught:
        load_manifests(text)
    assert (caught.value.code, refused in caught.value.message) == ("unsupported-value", True)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("downwardAPI:", "nfs: {server: a, path: /}\n      downwardAPI:", "persistentVolumeClaim"),
        ("nodeName: this-machine", "hostPID: true", "shareProcessNamespace"),
        ("requests: {cpu: 125m}", "requests: {example.com/dongle: 3}", "devices"),
        ("nodeName: this-machine", "overhead: {cpu: 1}", "for the cluster alone"),
        ("nodeName: this-machine", "hostUsers: false", "userns-remap"),
    ],
)
def test_a_refusal_says_what_there_is_instead(old: str, new: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(POD.replace(old, new))
    assert hint in (caught.value.hint or "")


def test_a_pod_is_on_the_node_that_it_names() -> None:
    assert why_not(template(), HERE, ()) == ""
    elsewhere = template(POD.replace("nodeName: this-machine", "nodeName: other"))
    assert "didn't match the requested node name (this one is this-machine)" in why_not(elsewhere, HERE, ())


def test_two_replicas_of_one_host_port_wait_for_each_other() -> None:
    room = Room(lambda: HERE)
    assert room.ask("one", template()) == ""
    assert room.ask("one", template()) == ""
    assert room.ask("two", template()) == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports "
        "(another replica has 8081)"
    )
    other = template(POD.replace("hostPort: 8081", "hostPort: 8082"))
    assert room.ask("two", other) == ""
    room.leave("one")
    assert room.ask("three", template()) == ""


def test_a_restricted_machine_gives_no_port_away() -> None:
    assert refusal(template(), Policy()) == ""
    said = refusal(template(), Policy(restricted=True, privileged=True))
    assert said == 'container "web": hostPort 8081'
    assert "restricted = true" in allowed_by(template(), Policy(restricted=True))


def test_what_a_container_may_take_is_told_as_files() -> None:
    made = template()
    told = folders(made, Sources(namespace="default", amount=lambda field, _: f"{field.container}:{field.resource}"))
    assert {path: file.content for path, file in told["told"].items()} == {
        "limit": b"web:limits.cpu",
        "memory": b"web:limits.memory",
    }


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("serviceAccountName: default", "serviceAccountName: bot", "unsupported-value", "supported is default"),
        ("serviceAccountName: default", "serviceAccount: bot", "unsupported-value", "supported is default"),
        ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "unsupported-value", "is true"),
        ("nameservers: [192.0.2.1]", "nameservers: []", "missing-field", "needs a nameserver"),
        ("nameservers: [192.0.2.1]", "nameservers: [a]", "invalid-value", "an IP address"),
        ("nameservers: [192.0.2.1]", "nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]", "invalid-value", "at most 3"),
        ("my.search.suffix]", "'a b']", "invalid-value", "expected a domain"),
        ("{name: edns0}", "{name: 'a b'}", "invalid-value", "no word of an option"),
        ("ip: 127.0.0.1", "ip: here", "invalid-value", "an IP address"),
        ("two.local", "two_local", "invalid-value", "a host name"),
        (
            "labels: {app: shaped}",
            "annotations: {container.apparmor.security.beta.kubernetes.io/nobody: localhost/mine}",
            "invalid-value",
            'no container is named "nobody"',
        ),
        (
            "labels: {app: shaped}",
            "annotations: {seccomp.security.alpha.kubernetes.io/pod: mine}",
            "invalid-value",
            "expected runtime/default, unconfined or localhost/",
        ),
        ("nodeName: this-machine", "hostNetwork: true", "unsupported-field", "hostNetwork is true"),
        ("requests: {cpu: 125m}", "requests: {example.com/dongle: 3}", "unsupported-field", "example.com/dongle"),
    ],
)
def test_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    assert old in POD
    with pytest.raises(ManifestError) as caught:
        load_manifests(POD.replace(old, new))
    assert caught.value.code == code, caught.value
    assert message in caught.value.message


DEPLOYED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shaped}
spec:
  selector: {matchLabels: {app: shaped}}
  template:
    metadata: {labels: {app: shaped}}
    spec:
      terminationGracePeriodSeconds: 1
      shareProcessNamespace: true
      dnsConfig: {options: [{name: ndots, value: "3"}], searches: [my.lan]}
      hostAliases: [{ip: 10.1.2.3, hostnames: [far.remote, farther.remote]}]
      containers:
        - {name: web, image: IMAGE, ports: [{name: http, containerPort: 8080, hostPort: PORT}]}
        - {name: beside, image: IMAGE, command: [sleep, infinity]}
"""


@engine
def test_names_processes_and_ports_on_a_real_engine(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    text = DEPLOYED.replace("IMAGE", app_image).replace("PORT", str(port))
    assert isinstance(only(text), Deployment)
    stack.client.apply(text)
    replica = stack.until_complete("shaped").replica_list[0]
    container = docker_client.containers.get(replica.container_id)

    def python(said: str) -> str:
        done = container.exec_run(["python3", "-c", said])
        assert isinstance(done.output, bytes)
        return done.output.decode().strip()

    assert python("import socket; print(socket.gethostbyname('farther.remote'))") == "10.1.2.3"
    conf = python("print(open('/etc/resolv.conf').read())")
    assert "my.lan" in conf
    assert "ndots:3" in conf
    seen = python("import glob; print([open(at).read() for at in glob.glob('/proc/[0-9]*/cmdline')])")
    assert "infinity" in seen
    assert "init" in python("print(open('/proc/1/cmdline').read())"), "who sees to what nobody awaits"
    answer = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/').status)"
    done = subprocess.run(["python3", "-c", answer], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "200", done.stderr
    stack.client.scale("default", "shaped", 2)
    wait_for(
        lambda: [
            event.message
            for event in stack.client.events("default")
            if event.reason == "FailedScheduling" and "free ports" in event.message
        ]
    )


GROUPS = """
apiVersion: batch/v1
kind: Job
metadata: {name: NAME}
spec:
  template:
    spec:
      restartPolicy: Never
      securityContext: {SAID}
      containers: [{name: a, image: IMAGE, command: [python3, -c, "import os; print(sorted(os.getgroups()))"]}]
"""


@engine
def test_strict_leaves_the_groups_of_the_image_out(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    made = docker_client.containers.create(app_image, ["-c", "echo more:x:50000:daemon >> /etc/group"], entrypoint="sh")
    repository = app_image.rpartition(":")[0]
    try:
        made.start()
        made.wait()
        made.commit(repository, "groups")
        said = {
            "strict": "runAsUser: 1, runAsGroup: 1, supplementalGroups: [4000], supplementalGroupsPolicy: Strict",
        }
        for name, security in said.items():
            text = GROUPS.replace("NAME", name).replace("SAID", security).replace("IMAGE", f"{repository}:groups")
            stack.client.apply(text)
        seen = {name: [line.text for line in stack.client.job_logs("default", name, follow=True)] for name in said}
        assert "50000" not in seen["strict"][0]
        assert "4000" in seen["strict"][0]
        for name in said:
            stack.client.delete("default", "Job", name)
        wait_for(lambda: not stack.client.jobs())
    finally:
        made.remove(force=True)
        docker_client.images.remove(f"{repository}:groups", force=True)
