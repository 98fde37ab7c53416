"""Jobs on a real engine, with the controller as a process that is killed."""

from __future__ import annotations

import signal

import docker
import pytest

from runtime import Conflict, JobPhase, JobStatus, Label, ManifestError, NotFound
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


def test_a_killed_controller_finds_the_pod_again(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(job(app_image, "echo begun; sleep 2; echo done"))
    wait_for(lambda: stack.client.job("default", "task").started_at and containers(stack, docker_client))
    first = containers(stack, docker_client)[0]
    wait_for(lambda: b"begun" in first.logs())
    stack.stop_controller(kill=True)
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
