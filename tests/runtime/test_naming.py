"""Names with dots, and long ones: what is accepted, and what files, volumes and containers are called then."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from _pytest.mark.structures import MarkDecorator

from runtime import ManifestError, load_manifests
from runtime.container import Identity, container_name, host_name
from runtime.manifest.model import Deployment, Pod
from runtime.naming import LONGEST_BASE, generated, kept
from runtime.roster import pod_replica
from runtime.secret_files import SecretFiles
from runtime.storage import claim_volume, empty_volume
from runtime.volumes import File
from tests.runtime.stack import Stack, wait_for

engine: MarkDecorator = pytest.mark.engine

DOTTED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: exporter-v0.2.3}
spec:
  selector: {matchLabels: {app: exporter}}
  template:
    metadata: {labels: {app: exporter}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: data, persistentVolumeClaim: {claimName: data.v1}}, {name: scratch, emptyDir: {}}]
      containers:
        - {name: main, image: IMAGE, ports: [{containerPort: 8080}], volumeMounts: [{name: data, mountPath: /data}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data.v1, annotations: {imageforge.io/reclaim: Delete}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: exporter.scaler}
spec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: exporter-v0.2.3}}
"""
GATED = """
apiVersion: v1
kind: Pod
metadata: {name: gated.v1}
spec:
  terminationGracePeriodSeconds: 1
  schedulingGates: [{name: example.com/foo}, {name: example.com/bar}]
  containers: [{name: main, image: IMAGE, command: [sleep, infinity]}]
"""
BATCH = """
apiVersion: batch/v1
kind: Job
metadata: {name: job.v1}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron.v1}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: exporter}
spec: {selector: {app: exporter}, ports: [{port: 80}]}
"""


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (SERVICE, "name: exporter}", "name: exporter.v1}"),
        (GATED, "gated.v1", "gated..v1"),
        (GATED, "gated.v1", "gated.-v1"),
        (GATED, "gated.v1", "gated." + "v" * 250),
        (GATED, "name: main", "name: main.v1"),
        (GATED, "example.com/foo", "not a gate"),
        (DOTTED, "claimName: data.v1", "claimName: data_v1"),
        (BATCH, "job.v1", "job." + "v" * 60),
        (BATCH, "cron.v1", "cron." + "v" * 48),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: team}", "team", "team.v1"),
    ],
)
def test_names_that_no_cluster_takes_are_refused(text: str, old: str, new: str) -> None:
    load_manifests(text)
    with pytest.raises(ManifestError) as caught:
        load_manifests(text.replace(old, new))
    assert caught.value.code == "invalid-value"


def test_names_are_those_of_domains_where_a_cluster_has_it() -> None:
    names = [document.name for document in load_manifests(f"{DOTTED}---{GATED}---{BATCH}")]
    assert names == ["exporter-v0.2.3", "data.v1", "exporter.scaler", "gated.v1", "job.v1", "cron.v1"]
    deployment = load_manifests(DOTTED)[0].object
    assert isinstance(deployment, Deployment)
    assert deployment.template.claims == {"data.v1"}


def test_a_name_that_is_too_long_for_a_file_is_cut_and_stays_one_of_its_own() -> None:
    long = "a" * 250
    assert (kept("web.v1"), kept("a" * 100)) == ("web.v1", "a" * 100)
    assert len(kept(long)) == 100
    assert kept(long + "x") != kept(long + "y")
    namespace = "n" * 63
    for name in (
        empty_volume("instance-of-12", pod_replica(namespace, long), "v" * 63),
        claim_volume("instance-of-12", namespace, long),
        pod_replica(namespace, long),
    ):
        assert len(name) <= os.pathconf("/", "PC_NAME_MAX"), name
    # As it was before such names were accepted: what is there is found again.
    assert (pod_replica("default", "web"), claim_volume("i", "n", "data")) == ("web.default", "imageforge-i-n_data")


def test_a_pod_of_a_controller_is_called_as_on_a_cluster() -> None:
    assert generated("web-5d9f-")[:-5] == "web-5d9f-"
    assert len(generated("w" * 200)) == LONGEST_BASE + 5 == 63


def test_a_dotted_name_is_that_of_the_host_and_of_files(tmp_path: Path) -> None:
    pod = load_manifests(GATED)[0].object
    assert isinstance(pod, Pod)
    replica = pod_replica("default", pod.name)
    who = Identity(
        instance="i", namespace="default", deployment="", replica=replica, template_hash="", revision=0, pod=pod.name
    )
    assert (host_name(pod.template, who), container_name(who, pod.template, pod.template.container)) == (
        "gated.v1",
        "imageforge-i-gated.v1.default",
    )
    # The kernel's limit, and no dot or hyphen at the end.
    assert host_name(pod.template, replace(who, pod=f"{'a' * 62}.{'b' * 20}")) == "a" * 62
    files = SecretFiles(Path("/dev/shm") / f"imageforge-test-names-{os.getpid()}", "unix:///run/docker.sock")
    try:
        long = pod_replica("n" * 63, "a" * 250)
        assert (files.write(long, {"v": {"a": File(content=b"1", mode=0o444)}})["v"] / "a").read_text() == "1"
    finally:
        files.clear()


@engine
def test_dotted_names_and_gates_on_a_real_engine(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    text = f"{DOTTED}---{GATED}".replace("IMAGE", app_image)
    stack.client.apply(text)
    (replica,) = stack.until_complete("exporter-v0.2.3").replica_list
    assert replica.name.startswith("exporter-v0.2.3-")
    seen = docker_client.containers.get(replica.container_id).exec_run(["sh", "-c", "hostname; touch /data/kept"])
    assert (seen.exit_code, seen.output.decode().strip()) == (0, replica.name)

    def reason() -> str:
        return next(pod.reason for pod in stack.client.pods("default") if pod.name == "gated.v1")

    blocked = "Scheduling is blocked due to non-empty scheduling gates: "
    wait_for(lambda: reason() == "SchedulingGated")
    (pod,) = stack.client.pods("default")
    assert (str(pod.phase), pod.message) == ("Pending", f"{blocked}example.com/foo, example.com/bar")
    assert f"{blocked}example.com/foo, example.com/bar" in {
        event.message for event in stack.client.events("default") if event.reason == "SchedulingGated"
    }
    # One that is left still blocks it, over a controller that is killed.
    fewer = GATED.replace("IMAGE", app_image).replace("{name: example.com/bar}", "").replace(", ]", "]")
    stack.client.apply(fewer)
    wait_for(lambda: stack.client.pods("default")[0].message == f"{blocked}example.com/foo")
    stack.stop_controller(kill=True)
    stack.start_controller()
    assert reason() == "SchedulingGated"
    with pytest.raises(ManifestError, match="found new scheduling gate 'example"):
        stack.client.apply(text)
    stack.client.apply(fewer.replace("{name: example.com/foo}", ""))
    wait_for(lambda: stack.client.pods("default")[0].ready)
    (pod,) = stack.client.pods("default")
    container = docker_client.containers.get(pod.containers[0].container_id)
    assert container.exec_run(["hostname"]).output.decode().strip() == "gated.v1"
    for kind, name in (("Pod", "gated.v1"), ("Deployment", "exporter-v0.2.3"), ("PersistentVolumeClaim", "data.v1")):
        stack.client.delete("default", kind, name)
    stack.until_gone("exporter-v0.2.3")
    wait_for(lambda: not stack.client.pods("default"))
