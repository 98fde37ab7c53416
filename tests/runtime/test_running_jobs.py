"""Jobs on a real engine, with the controller as a process that is killed."""

from __future__ import annotations

import signal

import docker
import pytest

from runtime import Conflict, JobPhase, JobStatus, Label, ManifestError, NotFound, PodPhase, Selection
from tests.runtime.stack import Stack, is_complete, manifest, wait_for

pytestmark = pytest.mark.engine


def job(image: str, script: str, *, name: str = "task", more: str = "", grace: int = 1) -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: 0
  {more}
  template:
    metadata:
      labels: {{app: hello, app.kubernetes.io/name: hello}}
      annotations: {{imageforge.io/release: "7"}}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: task
          image: {image}
          command: ["sh", "-c", {script!r}]
          securityContext: {{runAsNonRoot: true, allowPrivilegeEscalation: false}}
"""


def until_done(stack: Stack, name: str = "task") -> JobStatus:
    status = None
    for status in stack.client.watch_job("default", name, timeout=30):
        if status.phase is not JobPhase.ACTIVE:
            return status
    raise AssertionError(f"{status}\n{stack.controller_log()}")


def until_gone(stack: Stack, name: str = "task") -> None:
    wait_for(lambda: name not in [status.name for status in stack.client.jobs()])


def containers(stack: Stack, docker_client: docker.DockerClient) -> list[docker.models.containers.Container]:
    wanted = {"label": [f"{Label.INSTANCE}={stack.settings.instance}", str(Label.JOB)]}
    return list(docker_client.containers.list(all=True, ignore_removed=True, filters=wanted))


def test_one_pod_to_its_end_and_never_in_the_balancer(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(manifest(app_image, replicas=1))
    stack.until("hello", is_complete)
    text = job(app_image, "for n in 1 2 3; do echo line $n; done; echo oops >&2")
    assert [item.change for item in stack.client.apply(text)] == ["created"]
    lines = list(stack.client.job_logs("default", "task", follow=True))
    assert sorted(line.text for line in lines) == ["line 1", "line 2", "line 3", "oops"]
    status = until_done(stack)
    assert (status.phase, status.exit_code, status.succeeded, status.failed) == (JobPhase.SUCCEEDED, 0, 1, 0)
    assert (status.app, status.release) == ("hello", "7")
    [pod] = status.pods
    assert (pod.phase, pod.reason, pod.app, pod.restarts) == (PodPhase.SUCCEEDED, "Completed", "hello", 0)
    container = containers(stack, docker_client)[0]
    assert container.labels[Label.APP] == "hello"
    assert "no-new-privileges:true" in container.attrs["HostConfig"]["SecurityOpt"]
    assert len(stack.client.deployment("default", "hello").replica_list) == 1
    assert set(stack.client.counters("default", "hello").per_replica) <= {
        replica.name for replica in stack.client.deployment("default", "hello").replica_list
    }
    # The logs stay, and what is done is not done again by the same manifest or another controller.
    assert stack.client.apply(text)[0].change == "unchanged"
    stack.stop_controller(kill=True)
    stack.start_controller()
    assert stack.client.job("default", "task") == status
    assert len(list(stack.client.job_logs("default", "task"))) == 4
    with pytest.raises(ManifestError, match=r"spec\.template of a Job cannot be changed"):
        stack.client.apply(job(app_image, "echo other"))
    stack.client.delete("default", "Job", "task")
    until_gone(stack)
    assert containers(stack, docker_client) == []
    with pytest.raises(NotFound):
        stack.client.job("default", "task")


def test_failures(stack: Stack, app_image: str) -> None:
    stack.client.apply(job(app_image, "echo no good; exit 3"))
    stack.client.apply(
        job(app_image, "trap 'exit 0' TERM; sleep 60 & wait", name="slow", more="activeDeadlineSeconds: 1")
    )
    rule = "{rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}"
    ruled = job(app_image, "exit 42", name="ruled", more=f"podFailurePolicy: {rule}")
    stack.client.apply(ruled.replace("backoffLimit: 0", "backoffLimit: 9"))
    absent = job(app_image, "", name="absent").replace('["sh", "-c", \'\']', '["/no/such/program"]')
    stack.client.apply(absent)
    failed = until_done(stack)
    assert (failed.phase, failed.reason, failed.exit_code) == (JobPhase.FAILED, "BackoffLimitExceeded", 3)
    assert failed.last_log == ("no good",)
    slow = until_done(stack, "slow")
    assert (slow.phase, slow.reason, slow.succeeded) == (JobPhase.FAILED, "DeadlineExceeded", 0)
    by_rule = until_done(stack, "ruled")
    assert (by_rule.phase, by_rule.reason, by_rule.failed) == (JobPhase.FAILED, "PodFailurePolicy", 1)
    assert "failed with exit code 42 matching FailJob rule at index 0" in by_rule.message
    missing = until_done(stack, "absent")
    assert (missing.phase, missing.reason) == (JobPhase.FAILED, "BackoffLimitExceeded")
    assert "no such file" in missing.message
    assert missing.exit_code in (127, 128)


@pytest.mark.parametrize("kill", [True, False])
def test_the_next_controller_finds_the_pod_again(
    stack: Stack, app_image: str, docker_client: docker.DockerClient, *, kill: bool
) -> None:
    stack.client.apply(job(app_image, "echo begun; sleep 2; echo done"))
    wait_for(lambda: stack.client.job("default", "task").started_at and containers(stack, docker_client))
    first = containers(stack, docker_client)[0]
    wait_for(lambda: b"begun" in first.logs())
    stack.stop_controller(kill=kill)
    first.wait(timeout=30)
    stack.start_controller()
    assert until_done(stack).phase is JobPhase.SUCCEEDED
    assert [item.id for item in containers(stack, docker_client)] == [first.id]
    assert [line.text for line in stack.client.job_logs("default", "task")] == ["begun", "done"]


def test_a_pod_whose_container_was_lost_has_failed(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(job(app_image, "sleep 60"))
    wait_for(lambda: [item for item in containers(stack, docker_client) if item.status == "running"])
    assert stack.controller
    # The engine kills it first: who looks between that and the end of it sees a container that exited.
    stack.controller.send_signal(signal.SIGSTOP)
    containers(stack, docker_client)[0].remove(force=True)
    stack.controller.send_signal(signal.SIGCONT)
    status = until_done(stack)
    assert (status.phase, status.exit_code) == (JobPhase.FAILED, None)
    assert (status.lost, status.message) == (True, "its container was lost")


def test_deleting_stops_the_pod(stack: Stack, app_image: str, docker_client: docker.DockerClient) -> None:
    text = job(app_image, "sleep 60")
    stack.client.apply(text)
    wait_for(lambda: [item for item in containers(stack, docker_client) if item.status == "running"])
    stack.client.delete("default", "Job", "task")
    if "task" in [status.name for status in stack.client.jobs()]:
        with pytest.raises(Conflict, match="being deleted"):
            stack.client.apply(text)
    until_gone(stack)
    assert containers(stack, docker_client) == []
    wait_for(
        lambda: docker_client.networks.list(filters={"label": f"{Label.INSTANCE}={stack.settings.instance}"}) == []
    )


def test_several_pods_restarts_in_place_and_a_pause(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    # Each index fails once and is started again in its pod, where what it wrote to its volume is still there.
    script = "echo $JOB_COMPLETION_INDEX $(hostname); test -e /keep/seen && exit 0; touch /keep/seen; exit 3"
    text = job(app_image, script, more="completions: 3\n  parallelism: 2\n  completionMode: Indexed\n  suspend: true")
    text = text.replace("restartPolicy: Never", "restartPolicy: OnFailure\n      volumes: [{name: keep}]")
    text = text.replace(
        "        - name: task", "        - name: task\n          volumeMounts: [{name: keep, mountPath: /keep}]"
    )
    text = text.replace("backoffLimit: 0", "backoffLimit: 5")
    stack.client.apply(text)
    wait_for(lambda: stack.client.job("default", "task").suspended)
    assert containers(stack, docker_client) == []
    stack.client.apply(text.replace("suspend: true", "suspend: false"))
    status = until_done(stack)
    assert (status.phase, status.succeeded, status.failed, status.indexes) == (JobPhase.SUCCEEDED, 3, 0, "0-2")
    lines = sorted(line.text for line in stack.client.job_logs("default", "task"))
    assert lines == [f"{index} task-{index}" for index in range(3)]
    with pytest.raises(ManifestError, match=r"spec\.completions of a Job cannot be changed"):
        stack.client.apply(text.replace("completions: 3", "completions: 4"))
    stack.client.delete("default", "Job", "task")
    until_gone(stack)
    assert docker_client.volumes.list(filters={"label": f"{Label.INSTANCE}={stack.settings.instance}"}) == []


def several(image: str) -> str:
    """Its two containers see what came before them, and are done when they are told; the sidecar never is."""
    serve = (
        "import socket; s = socket.create_server(('127.0.0.1', 9000)); print('begun', flush=True)\\nwhile 1: s.accept()"
    )
    reach = "import socket; socket.create_connection(('127.0.0.1', 9000)).close()"
    script = f'echo $ADDRESS; python3 -c \\"{reach}\\" && until test -e /keep/go; do sleep 0.1; done; echo done'
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: task}}
spec:
  backoffLimit: 3
  template:
    spec:
      restartPolicy: OnFailure
      terminationGracePeriodSeconds: 2
      volumes: [{{name: keep, emptyDir: {{}}}}]
      initContainers:
        - name: first
          image: {image}
          command: [sh, -c, "test ! -e /keep/first && touch /keep/first && echo prepared"]
          volumeMounts: [{{name: keep, mountPath: /keep}}]
        - name: side
          image: {image}
          restartPolicy: Always
          command: [python3, -c, "{serve}"]
          startupProbe: {{exec: {{command: [python3, -c, "{reach}"]}}, periodSeconds: 1, timeoutSeconds: 5}}
          lifecycle: {{preStop: {{exec: {{command: [touch, /keep/stopped]}}}}}}
          volumeMounts: [{{name: keep, mountPath: /keep}}]
      containers:
        - name: main
          image: {image}
          command: [sh, -c, "{script}"]
          env: [{{name: ADDRESS, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}]
          volumeMounts: [{{name: keep, mountPath: /keep}}]
          readinessProbe: {{exec: {{command: [test, -e, /keep/first]}}, periodSeconds: 1}}
          lifecycle: {{postStart: {{exec: {{command: [touch, /keep/greeted]}}}}}}
        - name: other
          image: {image}
          command: [sh, -c, "test -e /keep/other && exit 0; touch /keep/other; exit 3"]
          volumeMounts: [{{name: keep, mountPath: /keep}}]
"""


def test_a_pod_of_several_containers_over_a_killed_controller(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(several(app_image))

    def named(name: str) -> list[docker.models.containers.Container]:
        known = [item for item in containers(stack, docker_client) if item.labels[Label.CONTAINER] == name]
        return [item for item in known if "__" not in item.name]

    def of(name: str) -> docker.models.containers.Container:
        (found,) = named(name)
        return found

    # One of the two has failed once, and was started again beside the other: the first is named apart, then the second
    # is made.
    wait_for(lambda: [item for item in containers(stack, docker_client) if item.name.endswith("_other__previous")])
    wait_for(lambda: named("other"))
    wait_for(lambda: of("other").status == "exited" and of("main").exec_run("test -e /keep/greeted")[0] == 0)
    before = {name: of(name).id for name in ("first", "side", "main", "other")}
    assert stack.client.job("default", "task").active == 1
    stack.stop_controller(kill=True)
    assert of("main").exec_run("touch /keep/go")[0] == 0
    of("main").wait(timeout=30)
    stack.start_controller()
    status = until_done(stack)
    assert (status.phase, status.exit_code, status.succeeded, status.failed) == (JobPhase.SUCCEEDED, 0, 1, 0)
    # None was made anew; the sidecar was stopped, after its hook, and the network is gone.
    assert {name: of(name).id for name in before} == before
    assert of("side").status == "exited"
    sandboxes = {"label": [f"{Label.INSTANCE}={stack.settings.instance}", f"{Label.SANDBOX}=1"]}
    assert docker_client.containers.list(all=True, filters=sandboxes) == []
    lines = list(stack.client.output(Selection(namespace="default", kind="Job", names=("task",), every=True)))
    told = {name: [line.text for line in lines if line.container == name] for name in before}
    assert (told["first"], told["side"], told["other"]) == (["prepared"], ["begun"], [])
    address, done = told["main"]
    assert done == "done"
    assert address.count(".") == 3
    (chosen,) = stack.client.output(Selection(namespace="default", kind="Job", names=("task",), container="first"))
    assert chosen.text == "prepared"
    stack.client.delete("default", "Job", "task")
    until_gone(stack)
    assert containers(stack, docker_client) == []
    assert docker_client.volumes.list(filters={"label": f"{Label.INSTANCE}={stack.settings.instance}"}) == []


def test_a_pod_waits_for_room_and_one_that_takes_too_much_memory_is_told(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    text = job(app_image, "sleep 60", name="large")
    asks = "          image: " + app_image + "\n          resources: {%s}"
    stack.client.apply(text.replace(f"          image: {app_image}", asks % "requests: {cpu: 900}"))
    wait_for(lambda: "Insufficient cpu (asks for 900" in stack.client.job("default", "large").message)
    assert containers(stack, docker_client) == []
    greedy = job(app_image, "exec python3 -c 'x = bytearray(200_000_000); print(len(x))'", name="greedy")
    stack.client.apply(greedy.replace(f"          image: {app_image}", asks % "limits: {memory: 32Mi}"))
    status = until_done(stack, "greedy")
    assert (status.phase, status.exit_code, status.message) == (JobPhase.FAILED, 137, "killed for want of memory")
    # What waits is no reason to wait.
    stack.client.delete("default", "Job", "large")
    until_gone(stack, "large")
