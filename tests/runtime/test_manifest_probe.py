"""Probes and hooks in manifests: what is refused, by which name and on which line; then what is accepted."""

from __future__ import annotations

import pytest

from runtime import ManifestError, load_manifests
from runtime.manifest.model import ContainerSpec, Deployment
from runtime.manifest.probe import Hook, HttpCall, Probe
from runtime.manifest.template import template_hash

HEAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: web
          image: web:1
          ports: [{containerPort: 8080, name: http}]
"""


def loaded(lines: str) -> Deployment:
    text = HEAD + "".join(f"          {line}\n" for line in lines.splitlines())
    deployment = load_manifests(text, "web.yaml")[0].object
    assert isinstance(deployment, Deployment)
    return deployment


def container(lines: str) -> ContainerSpec:
    return loaded(lines).template.container


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("livenessProbe: {periodSeconds: 1}", "invalid-value", "livenessProbe needs one of exec, httpGet, tcpSocket "),
        ("livenessProbe: {exec: {command: [a]}, grpc: {port: 1}}", "invalid-value", "needs one of"),
        ("livenessProbe: {exec: {command: []}}", "invalid-value", "exec.command is empty"),
        ("livenessProbe: {exec: {}}", "missing-field", "livenessProbe.exec.command is missing"),
        ("livenessProbe: {exec: {command: [1]}}", "wrong-type", "exec.command[0] is the number 1"),
        ("livenessProbe: {grpc: {port: http}}", "wrong-type", "grpc.port is the string"),
        ("livenessProbe: {grpc: {service: a}}", "missing-field", "grpc.port is missing"),
        ("livenessProbe: {tcpSocket: {port: web}}", "invalid-value", 'no port of the container is named "web"'),
        ("startupProbe: {httpGet: {port: web}}", "invalid-value", 'no port of the container is named "web"'),
        ("livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}", "invalid-value", "must be 1 for liveness"),
        ("startupProbe: {tcpSocket: {port: 1}, successThreshold: 2}", "invalid-value", "must be 1 for liveness"),
        ("readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 2}", "invalid-value",
         "terminationGracePeriodSeconds must not be set"),
        ("livenessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 0}", "invalid-value", "expected 1 to"),
        ("livenessProbe: {httpGet: {port: 1, scheme: https}}", "invalid-value", "scheme is \"https\""),
        ("livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: a b, value: x}]}}", "invalid-value", "httpHeaders"),
        ("livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: a}]}}", "missing-field", "httpHeaders[0].value"),
        ('livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: a, value: "x\\ny"}]}}', "invalid-value",
         "has characters that a header cannot have"),
        ("livenessProbe: {httpGet: {port: 1, host: a/b}}", "invalid-value", 'host is "a/b"'),
        ("lifecycle: {preStop: {sleep: {seconds: 21}}}", "invalid-value", "at most terminationGracePeriodSeconds"),
        ("lifecycle: {preStop: {sleep: {}}}", "missing-field", "sleep.seconds is missing"),
        ("lifecycle: {preStop: {tcpSocket: {port: 1}}}", "unsupported-field", "preStop.tcpSocket"),
        ("lifecycle: {stopSignal: SIGINT}", "unsupported-field", "lifecycle.stopSignal"),
        ("lifecycle: {prestop: {sleep: {seconds: 1}}}", "unknown-field", "lifecycle.prestop"),
        ("lifecycle: {postStart: {exec: {command: [a]}, sleep: {seconds: 1}}}", "invalid-value", "needs one of"),
    ],
)  # fmt: skip
def test_refused_by_name_with_its_line(line: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        loaded(line)
    assert (caught.value.code, caught.value.subject) == (code, "web.yaml:14"), caught.value
    assert message in caught.value.message


def test_the_value_of_a_header_is_in_no_error() -> None:
    with pytest.raises(ManifestError) as caught:
        loaded('livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: Authorization, value: "hunter2\\n"}]}}')
    assert "hunter2" not in str(caught.value)
    probe = container("livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: A, value: hunter2}]}}").liveness
    assert "hunter2" not in repr(probe)


def test_four_ways_to_ask() -> None:
    spec = container(
        "startupProbe: {exec: {command: [cat, /x]}, failureThreshold: 30, periodSeconds: 2}\n"
        "livenessProbe: {grpc: {port: 9000, service: shop}, terminationGracePeriodSeconds: 5}\n"
        "readinessProbe: {httpGet: {port: http, path: ready, host: 10.0.0.1, scheme: HTTPS, "
        "httpHeaders: [{name: Host, value: shop}]}, successThreshold: 2}"
    )
    assert spec.startup == Probe(command=("cat", "/x"), failure_threshold=30, period=2)
    assert spec.liveness == Probe(port=9000, grpc=True, service="shop", grace_period=5)
    assert spec.readiness == Probe(
        port="http", path="/ready", host="10.0.0.1", scheme="HTTPS", headers=(("Host", "shop"),), success_threshold=2
    )
    assert container("livenessProbe: {tcpSocket: {port: http, host: a}}").liveness == Probe(port="http", host="a")
    assert container("livenessProbe: {}\nlifecycle: {}") == container("")


def test_hooks() -> None:
    spec = container(
        "lifecycle:\n  postStart: {exec: {command: [touch, /x]}}\n  preStop: {httpGet: {port: http, path: /quit}}"
    )
    assert spec.post_start == Hook(command=("touch", "/x"))
    assert spec.pre_stop == Hook(call=HttpCall(port="http", path="/quit"))
    assert container("lifecycle: {preStop: {sleep: {seconds: 20}}}").pre_stop == Hook(sleep=20)


def test_the_hash_of_a_template_with_a_probe_stays_as_it_was() -> None:
    """As the version before the other probes gave it."""
    said = loaded("readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, initialDelaySeconds: 2}")
    assert template_hash(said.template) == "65b9f44bb5"
    assert template_hash(loaded("readinessProbe: {tcpSocket: {port: 8080}}").template) == "5546c44884"
