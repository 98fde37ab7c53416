"""What follows the end of a container by its code: rules of its own, and a policy of its own."""

from __future__ import annotations

from dataclasses import replace

import docker
import pytest

from runtime import ManifestError, load_manifests
from runtime.manifest.model import Pod, PodTemplate
from runtime.manifest.restart_rule import RestartAction, RestartRule, Restarts
from runtime.manifest.template import template_hash
from runtime.model import ContainerStatus
from runtime.pod import pod_phase
from runtime.restart import RestartPolicy
from runtime.roster import Replica
from runtime.standing import ContainerRecord
from tests.runtime.stack import Stack, wait_for

RULED = """
apiVersion: v1
kind: Pod
metadata: {name: ruled}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: data, emptyDir: {}}]
  initContainers:
    - name: setup
      image: IMAGE
      command: [sh, -c, "echo setup >> /data/said"]
      volumeMounts: [{name: data, mountPath: /data}]
    - name: watcher
      image: IMAGE
      command: [sh, -c, "test -e /data/seen || { touch /data/seen; sleep 1; exit 88; }; exec sleep infinity"]
      restartPolicy: Always
      restartPolicyRules:
        - {action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}
      volumeMounts: [{name: data, mountPath: /data}]
  containers:
    - name: main
      image: IMAGE
      command: [sh, -c, "echo main >> /data/said; exec sleep infinity"]
      volumeMounts: [{name: data, mountPath: /data}]
    - name: flaky
      image: IMAGE
      command: [sh, -c, "test -e /data/flaky && exit 0; touch /data/flaky; exit 3"]
      restartPolicy: Never
      restartPolicyRules:
        - {action: Restart, exitCodes: {operator: In, values: [3]}}
      volumeMounts: [{name: data, mountPath: /data}]
"""
DEPLOYED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: a, restartPolicy: Always}]
"""
BATCH = """
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      initContainers: [{name: first, image: a, restartPolicy: OnFailure}]
      containers: [{name: main, image: a}]
"""


def template(*changes: tuple[str, str]) -> PodTemplate:
    text = RULED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    found = load_manifests(text)[0].object
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("restartPolicy: Always\n", "\n", "missing-field", "restartPolicy must be set when restartPolicyRules are"),
        ("restartPolicy: Always\n", "restartPolicy: Sometimes\n", "invalid-value", "Sometimes"),
        ("RestartAllContainers", "RestartPod", "invalid-value", "expected Restart or RestartAllContainers"),
        ("operator: In", "operator: Is", "invalid-value", "expected In or NotIn"),
        ("values: [88]", "values: []", "invalid-value", "is empty"),
        ("values: [88]", "values: [256]", "invalid-value", "expected 0 to 255"),
        ("exitCodes: {operator: In, values: [88]}", "codes: [88]", "unknown-field", "codes"),
        (", exitCodes: {operator: In, values: [88]}", "", "missing-field", "exitCodes is missing"),
    ],
)
def test_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template((old, new))
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


@pytest.mark.parametrize("text", [DEPLOYED, BATCH])
def test_pods_of_others_have_none(text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text)
    assert caught.value.code == "unsupported-field"
    assert "restartPolicy is for the containers of a Pod of its own here" in caught.value.message


def test_the_first_rule_that_matches_decides() -> None:
    rules = (
        RestartRule(action=RestartAction.ALL, codes=(88,)),
        RestartRule(action=RestartAction.RESTART, codes=(1, 88), inverted=True),
    )
    never = Restarts(policy=RestartPolicy.NEVER, rules=rules)
    assert [never.action(code) for code in (88, 0, 1, None)] == [RestartAction.ALL, RestartAction.RESTART, None, None]
    assert [never.starts_again(code) for code in (88, 0, 1, None)] == [True, True, False, False]
    assert replace(never, policy=RestartPolicy.ON_FAILURE).starts_again(1)
    # Of one whose end must be known, it is not enough that it is started again in any case.
    always = Restarts(policy=RestartPolicy.ALWAYS)
    assert (always.always, replace(always, rules=rules).always) == (True, False)


def test_whose_policy_holds() -> None:
    made = template()
    setup, watcher = made.init
    main, flaky = made.mains
    assert [made.restarts(spec).policy for spec in (setup, watcher, main, flaky)] == [
        RestartPolicy.NEVER,
        RestartPolicy.ALWAYS,
        RestartPolicy.NEVER,
        RestartPolicy.NEVER,
    ]
    always = replace(made, restart_policy=RestartPolicy.ALWAYS)
    assert [always.restarts(spec).policy for spec in (setup, flaky)] == [RestartPolicy.ON_FAILURE, RestartPolicy.NEVER]
    other = template(("values: [88]", "values: [89]"))
    assert template_hash(made) != template_hash(other)
    # A sidecar is one by its policy; that is nothing more to be said of it.
    assert (watcher.sidecar, watcher.restart) == (True, None)


def test_a_pod_has_ended_with_the_containers_that_are_not_started_again() -> None:
    text = RULED.partition("  initContainers:")[0] + "  containers: [{name: main, image: a, restartPolicy: Never}]\n"
    found = load_manifests(text.replace("  restartPolicy: Never\n", "", 1))[0].object
    assert isinstance(found, Pod)
    record = ContainerRecord(name="main", container_id="c", settled="c", done=True, ended_at=5.0, exit_code=0)
    replica = Replica(
        name="a", namespace="n", deployment="", template_hash="", template=found.template, created_at=1.0, pod="a",
        containers=(record,),
    )  # fmt: skip
    assert str(pod_phase(replica)) == "Succeeded"


def test_what_waits_for_its_next_start() -> None:
    ended = ContainerRecord(name="a", container_id="c", settled="c", ended_at=5.0, exit_code=88)
    assert ended.waits
    for other in (
        replace(ended, done=True),
        replace(ended, running=True),
        replace(ended, settled=""),
        replace(ended, container_id="", settled=""),
        replace(ended, ended_at=None),
    ):
        assert not other.waits


@pytest.mark.engine
def test_all_containers_begin_anew_and_one_alone(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(RULED.replace("IMAGE", app_image))

    def main() -> ContainerStatus | None:
        (pod,) = stack.client.pods("default")
        return next((each for each in pod.containers if each.name == "main" and each.ready), None)

    def said() -> list[str]:
        found = main()
        assert found is not None
        done = docker_client.containers.get(found.container_id).exec_run(["cat", "/data/said"])
        return done.output.decode().split()

    wait_for(lambda: (found := main()) is not None and found.restarts == 1, timeout=60)
    assert said() == ["setup", "main", "setup", "main"]
    wait_for(lambda: all(each.done for each in stack.client.pods("default")[0].containers if each.name == "flaky"))
    events = [event.message for event in stack.client.events("default") if event.reason == "RestartAllContainers"]
    assert events == ["Container watcher ended with exit code 88: all begin anew"]
    stack.stop_controller(kill=True)
    stack.start_controller()
    wait_for(main)
    assert said() == ["setup", "main", "setup", "main"], "what has begun anew does not do so again"
    found = {each.name: (each.restarts, each.done) for each in stack.client.pods("default")[0].containers}
    assert (found["setup"], found["watcher"], found["main"]) == ((1, True), (1, False), (1, False))
    assert found["flaky"][1]
    assert found["flaky"][0] >= 1
    stack.client.delete("default", "Pod", "ruled")
    wait_for(lambda: not stack.client.pods("default"), timeout=30)
