"""Who takes more of the disk than it may."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import PodPhase, load_manifests
from runtime.attempt import Attempt
from runtime.job_pod import new_pod, seen
from runtime.manifest.model import Deployment, Job, Pod, PodTemplate
from runtime.manifest.parse import is_limited
from runtime.pod import pod_phase
from runtime.resources import Amounts, Machine, why_not
from runtime.roster import EVICTED, Replica
from runtime.usage import Used, excess, size_of
from tests.runtime.stack import Stack, wait_for

MI = 1024**2
POD = """
apiVersion: v1
kind: Pod
metadata: {name: writes}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: web
      image: IMAGE
      command: [sh, -c, "sleep infinity"]
      resources: {limits: {ephemeral-storage: 8Mi}, requests: {ephemeral-storage: 2Mi}}
      volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes:
    - {name: scratch, emptyDir: {sizeLimit: 4Mi}}
    - {name: memory, emptyDir: {medium: Memory, sizeLimit: 4Mi}}
"""


def only(text: str) -> Any:
    (document,) = load_manifests(text)
    return document.object


def template(text: str = POD) -> PodTemplate:
    found = only(text)
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (Used(), ""),
        (Used(volumes={"scratch": 4 * MI}, layers={"web": 4 * MI}), ""),
        (Used(volumes={"scratch": 4 * MI + 1}), 'Usage of EmptyDir volume "scratch" exceeds the limit "4Mi". '),
        (Used(layers={"web": 8 * MI + 1}), 'Container web exceeded its local ephemeral storage limit "8Mi". '),
        (
            Used(volumes={"scratch": 4 * MI}, layers={"web": 4 * MI + 1}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 8Mi. ",
        ),
    ],
)
def test_what_exceeds_its_limit_is_told_in_the_kubelets_words(used: Used, said: str) -> None:
    assert excess(template(), used) == said


def test_what_has_no_limit_is_not_looked_at() -> None:
    assert is_limited(template())
    free = POD.replace("{sizeLimit: 4Mi}", "{}").replace("limits: {ephemeral-storage: 8Mi}, ", "")
    assert not is_limited(template(free))
    assert excess(template(free), Used(volumes={"scratch": 2**40}, layers={"web": 2**40})) == ""


def test_a_folder_is_counted_as_du_counts_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"x" * 100_000)
    before = size_of(tmp_path)
    assert before >= 100_000
    os.link(tmp_path / "below" / "a", tmp_path / "again")
    assert size_of(tmp_path) == before, "one file of two names is there once"
    outside = tmp_path.with_name("outside")
    outside.mkdir()
    (outside / "b").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to(outside)
    assert size_of(tmp_path) < before + 100_000
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**30)
    assert size_of(tmp_path) < 2**20
    deep = tmp_path
    for _ in range(40):
        deep = deep / "deep"
        deep.mkdir()
    (deep / "c").write_bytes(b"x" * 200_000)
    assert size_of(tmp_path) > before + 200_000
    with pytest.raises(FileNotFoundError):
        size_of(tmp_path / "gone")


def test_requests_of_disk_are_held_against_the_disk() -> None:
    here = Machine(size=Amounts(cpu=1000, memory=2**30, disk=3 * MI), labels={})
    assert why_not(template(), here, ()) == ""
    assert "1 Insufficient ephemeral-storage (asks for 2Mi, 1Mi of 3Mi is free)" in why_not(
        template(), here, (Amounts(disk=2 * MI),)
    )
    unseen = replace(here, size=Amounts(cpu=1000, memory=2**30))
    assert why_not(template(), unseen, (Amounts(disk=2 * MI),)) == ""


def test_a_pod_of_its_own_that_was_evicted_has_failed() -> None:
    made = Replica(
        name="writes.default",
        namespace="default",
        deployment="",
        template_hash="h",
        template=template(),
        created_at=1.0,
        phase=EVICTED,
        message="why",
        pod="writes",
    )
    assert pod_phase(made) is PodPhase.FAILED
    ended = made.with_record("web", 2.0, running=False, ready=True)
    assert (ended.phase, ended.message, ended.ready) == (EVICTED, "why", False)


def test_a_pod_of_a_job_that_was_evicted_has_failed() -> None:
    spec = "restartPolicy: Never, containers: [{name: a, image: a, resources: {limits: {ephemeral-storage: 1Mi}}}]"
    job = load_manifests(
        f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec: {{template: {{spec: {{{spec}}}}}}}"
    )[0].object
    assert isinstance(job, Job)
    attempt = Attempt(name="j-a")
    pod = new_pod(job, attempt, 1.0).with_record("a", 2.0, container_id="c", running=True, started_at=2.0)
    pod = replace(pod, phase=EVICTED, message="too much")
    assert seen(attempt, pod, 3.0).ended_at is None, "its container is still being stopped"
    ended = seen(attempt, replace(pod, done=True), 3.0)
    assert (ended.failed, ended.lost, ended.exit_code, ended.message) == (True, False, 137, "too much")


DEPLOYED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: writes}
spec:
  selector: {matchLabels: {app: writes}}
  template:
    metadata: {labels: {app: writes}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: IMAGE
          command: [sh, -c, "exec python3 /server.py"]
          volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {sizeLimit: 4Mi}}]
"""


@pytest.mark.engine
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the engine's volumes")
def test_who_writes_too_much_is_evicted(stack: Stack, app_image: str) -> None:
    fill = "dd if=/dev/zero of=/scratch/x bs=1M count=6; sleep infinity"
    stack.client.apply(POD.replace("IMAGE", app_image).replace("sleep infinity", fill))
    assert isinstance(only(DEPLOYED), Deployment)
    stack.client.apply(DEPLOYED.replace("IMAGE", app_image))
    first = stack.until_complete("writes").replica_list[0].name
    wait_for(lambda: stack.client.pods("default")[0].phase is PodPhase.FAILED, timeout=40)
    (pod,) = stack.client.pods("default")
    why = 'Usage of EmptyDir volume "scratch" exceeds the limit "4Mi". '
    assert (pod.reason, pod.message) == ("Evicted", why)
    assert ("writes", "Evicted", why) in [
        (event.name, event.reason, event.message) for event in stack.client.events("default")
    ]
    # It stays so, also for the next controller; and what keeps within its limit is left alone.
    stack.stop_controller(kill=True)
    stack.start_controller()
    (pod,) = stack.client.pods("default")
    assert (pod.phase, pod.reason) == (PodPhase.FAILED, "Evicted")
    assert [item.name for item in stack.until_complete("writes").replica_list] == [first]
