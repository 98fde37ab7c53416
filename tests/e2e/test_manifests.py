"""Files of Kubernetes by the command line: applied, looked at, changed, exposed, undone and deleted."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Forge
from tests.e2e.service import write_app

pytestmark = pytest.mark.engine

SAMPLE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: sample-deployment, namespace: sample}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: sample-app}}}}
  template:
    metadata: {{labels: {{app: sample-app}}}}
    spec:
      containers:
        - name: web
          image: "{image}"
          env: [{{name: PORT, value: "8080"}}, {{name: VERSION, value: "{version}"}}]
          ports: [{{containerPort: 8080}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: sample-secret, namespace: sample}}
stringData: {{password: "{password}"}}
"""
AUTOSCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: sample, namespace: sample}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: sample-deployment}
  minReplicas: 2
  maxReplicas: 4
  metrics:
    - type: Resource
      resource: {name: memory, target: {type: AverageValue, averageValue: 100Mi}}
    - type: Pods
      pods: {metric: {name: requests_per_second}, target: {type: AverageValue, averageValue: 2500m}}
"""
VOLUME = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: sample}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: keeper, namespace: sample}}
spec:
  restartPolicy: Never
  tolerations: [{{operator: Exists}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
  containers:
    - {{name: keeper, image: "{image}", command: ["true"], volumeMounts: [{{name: data, mountPath: /data}}]}}
"""
IN = ("-n", "sample")
NAME = "sample-deployment"


@pytest.fixture(scope="module")
def image(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that imageforge built."""
    folder = tmp_path_factory.mktemp("sample")
    write_app(folder)
    return str(forge.ok("build", folder).out.split()[0])


def test_a_file_of_kubernetes_from_apply_to_delete(forge: Forge, image: str, tmp_path: Path) -> None:
    file = tmp_path / "sample.yaml"

    def write(**said: object) -> None:
        values = {"replicas": 2, "version": "1", "password": "first-word", "image": image, **said}
        file.write_text(SAMPLE.format(**values))

    write()
    forge.ok("up")
    missing = forge.run("diff", "-f", file)
    assert (missing.code, f"+  name: {NAME}" in missing.out) == (1, True), missing
    made = forge.ok("apply", "-f", file, "--wait")
    rows = [line.split() for line in made.out.splitlines()[1:3]]
    assert rows == [[f"deployment/{NAME}", "sample", "created"], ["secret/sample-secret", "sample", "created"]]
    assert f"{NAME}: 2 of 2 updated, 2 available" in made.err
    assert f"deployment/{NAME} in sample: revision 1, complete in " in made.out
    assert "no proof: no Service leads to it through the balancer" in made.out
    assert forge.ok("diff", "-f", file).out == ""
    assert forge.ok("apply", "-f", file).out.count("unchanged") == 2

    write(version="2", replicas=3, password="second-word")
    changed = forge.run("diff", "-f", file)
    assert changed.code == 1
    assert {'-          value: "1"', '+          value: "2"', "-  replicas: 2", "+  replicas: 3"} <= {
        line.replace("-        - name", "-").rstrip() for line in changed.out.splitlines()
    }, changed.out
    assert "-word" not in changed.out, "a Secret's value was shown"
    assert "'*** changed'" in changed.out or "*** changed" in changed.out
    told = forge.ok("apply", "-f", file, "--wait").out
    assert "env VERSION changed" in told
    assert "replicas 2 -> 3" in told
    assert forge.ok("report", f"deploy/{NAME}", "1", *IN).out.startswith(f"deployment/{NAME} in sample: revision 1, ")

    rows = forge.ok("get", "deploy", *IN).out.splitlines()
    assert rows[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "STATE"]
    assert rows[1].split() == [NAME, "3/3", "3", "3", "complete"]
    pods = forge.ok("get", "pods", *IN, "-o", "json").json
    assert [pod["ready"] for pod in pods if pod["status"] != "Terminating"] == [True] * 3
    assert forge.ok("get", f"deployment/{NAME}", *IN, "-o", "json").json["spec"]["replicas"] == 3
    shown = forge.ok("get", "secret", "sample-secret", *IN, "-o", "yaml").out
    assert "***" in shown
    assert "second-word" not in shown

    told = forge.ok("describe", "deployment", NAME, *IN).out
    assert all(word in told for word in ("MinimumReplicasAvailable", "NewReplicaSetAvailable", "ScalingReplicaSet"))
    happened = forge.ok("events", *IN, "--for", f"deploy/{NAME}").out
    assert "Scaled up replica set" in happened

    exposed = forge.ok("expose", f"deployment/{NAME}", *IN, "--host", "sample.localhost", "--name", "sample-web")
    assert exposed.out == "service/sample-web created\n"
    assert "note:" not in exposed.err
    assert forge.get("sample")[0] == 200, "it returns once the balancer has the route"
    other = forge.run("expose", f"deployment/{NAME}", *IN, "--port", "81", "--name", "sample-web")
    assert (other.code, other.err.startswith("error[already-exists]: Service sample/sample-web: ")) == (3, True), other
    both = forge.ok("get", "deploy,svc", *IN).out
    assert f"deployment/{NAME}" in both
    assert "service/sample-web" in both

    history = forge.ok("rollout", "history", f"deploy/{NAME}", *IN, "-o", "json").json
    assert [(row["revision"], row["current"], row["replicas"]) for row in history] == [(1, False, 0), (2, True, 3)]
    assert forge.ok("rollout", "undo", f"deploy/{NAME}", *IN).out == f"deployment/{NAME} rolled back\n"
    assert "successfully rolled out" in forge.ok("rollout", "status", f"deploy/{NAME}", *IN).out
    everything = forge.ok("get", "all", "-A").out
    assert f"deployment/{NAME}" in everything
    assert "service/sample-web" in everything

    autoscaler = tmp_path / "hpa.yaml"
    autoscaler.write_text(AUTOSCALER)
    forge.ok("apply", "-f", autoscaler)
    rows = forge.ok("get", "hpa", *IN).out.splitlines()
    assert rows[0].split() == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    targets = "memory: <unknown>/100Mi, requests_per_second: <unknown>/2.5"
    assert rows[1].startswith(f"sample  Deployment/{NAME}  {targets}  2 "), rows
    told = forge.ok("describe", "hpa", "sample", *IN).out
    assert "Pods requests_per_second  <unknown>  2.5" in told
    used = forge.ok("top", *IN, "-o", "json").json
    assert [0 < item["memory"] < 200 * 1024**2 and item["cpu"] is not None for item in used] == [True] * 3
    assert forge.ok("top", *IN).out.split()[:7] == ["NAME", "CPU", "CPU%", "MEMORY", "MEMORY%", "RESTARTS", "REQ/S"]
    (service,) = forge.ok("top", "services", *IN, "-o", "json").json
    assert (service["name"], service["replicas"], service["counters"]["by_class"]["2xx"]) == ("sample-web", 3, 1)
    assert "sample-web" in forge.ok("top", "services", *IN).out
    node = forge.ok("top", "node", "-o", "json").json
    assert node["cpu"] >= node["cpu_replicas"] >= 0
    assert node["memory"] > node["memory_used"] > 0
    assert "error[needs-terminal]" in forge.run("top", "-w").err
    assert "error[unknown-kind]: disks" in forge.run("top", "disks").err
    forge.ok("delete", "hpa", "sample", *IN, "--yes")

    use_its_replicas(forge)
    use_its_volume(forge, image, tmp_path)

    spare = tmp_path / "spare.yaml"
    spare.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: spare}\n")
    forge.ok("apply", "-f", spare)
    assert forge.ok("get", "ns", "spare").out.split()[-2] == "spare"
    assert "name        spare" in forge.ok("describe", "ns", "spare").out
    assert forge.ok("delete", "ns", "spare", "--yes").out == "namespace/spare deleted\n"

    asked = forge.run("delete", "-f", file)
    assert (asked.code, "error[not-confirmed]" in asked.err) == (3, True)
    forge.ok("delete", "service/sample-web", *IN, "--yes")
    gone = forge.ok("delete", "-f", file, "--yes")
    assert gone.out == f"secret/sample-secret deleted\ndeployment/{NAME} deleted\n"
    assert forge.ok("get", "all", *IN).out == ""


def test_what_is_wrong_is_named_and_nothing_is_applied(forge: Forge, image: str, tmp_path: Path) -> None:
    forge.ok("up")
    broken = tmp_path / "broken.yaml"
    good = SAMPLE.format(replicas=1, version="1", password="x", image=image)
    selector = "selector: {matchLabels: {app: sample-app}}"
    shifted = good.replace(selector, "selector:\n    matchLabels: {app: sample-app}")
    broken.write_text(shifted.replace("  template:\n    metadata:", "    template:\n      metadata:").replace(
        "    spec:\n      containers:", "      spec:\n        containers:"))  # fmt: skip
    refused = forge.run("apply", "-f", broken)
    assert refused.code == 3
    assert refused.err.startswith(f"error[misplaced-field]: {broken}:8: spec.selector.template"), refused.err
    assert "hint: dedent `template` to the level of `selector`" in refused.err
    (tmp_path / "a-good.yaml").write_text(good)
    whole = forge.run("apply", "-f", tmp_path)
    assert whole.code == 3
    assert forge.ok("get", "all", *IN).out == ""
    for arguments, code in (
        (("get", "gadgets"), "unknown-kind"),
        (("get", "deploy", "nobody"), "not-found"),
        (("describe", "deploy"), "name-missing"),
        (("expose", "service/x"), "wrong-kind"),
        (("rollout", "undo", "deploy/nobody"), "not-found"),
        (("apply", "-f", tmp_path / "absent.yaml"), "no-manifest"),
        (("delete", "deploy", "nobody", "--yes"), "not-found"),
    ):
        outcome = forge.run(*arguments)
        assert outcome.err.startswith(f"error[{code}]: "), (arguments, outcome)
        assert outcome.code == (3 if code != "not-found" else outcome.code) != 0


def use_its_replicas(forge: Forge) -> None:
    """Commands in them and beside them, their output, and how many there are."""
    target = f"deploy/{NAME}"
    with forge.start("exec", "-i", target, *IN, "--", "sh", "-c", "cat; id -u; exit 7", stdin=subprocess.PIPE) as child:
        out, err = child.communicate("typed\n", timeout=60)
    assert (out.splitlines(), err, child.returncode) == (["typed", "10001"], "", 7)
    absent = forge.run("exec", target, *IN, "--", "nonesuch")
    assert (absent.code, absent.err.startswith("error[command-not-found]: sample-deployment-")) == (127, True), absent
    once = forge.run("run", target, *IN, "--", "sh", "-c", "echo $VERSION; echo bad >&2; exit 3")
    assert (once.code, once.out) == (3, "1\n"), once
    job, trouble = once.err.splitlines()
    assert (job.startswith(f"job/{NAME}-run-"), trouble) == (True, "bad"), once
    (line,) = map(json.loads, forge.ok("logs", job, *IN, "--since", "1h", "-o", "json", "--tail", 1).out.splitlines())
    assert (line["replica"].startswith(job.removeprefix("job/")), line["container"]) == (True, "web")
    assert forge.run("run", "-it", target, *IN, "--", "sh").err.startswith("error[no-input-for-run]: ")
    assert forge.ok("scale", target, 1, *IN).out == f"deployment/{NAME} scaled\n"
    assert forge.ok("restart", target, *IN).out == f"deployment/{NAME} restarted\n"
    told = forge.ok("logs", "-l", f"app.kubernetes.io/name={NAME}-run", *IN, "--timestamps").out
    assert sorted(re.sub(r" 20\d\d-[^ ]*Z ", " TIME ", line).rpartition("|")[2] for line in told.splitlines()) == [
        " TIME 1", " TIME bad",
    ]  # fmt: skip
    assert forge.ok("delete", job, *IN, "--yes").out == f"{job} deleted\n"
    for arguments, code in (
        (("logs", target, *IN, "--previous"), "no-previous"),
        (("logs", target, *IN, "-c", "nobody"), "no-such-container"),
        (("exec", target, *IN, "--replica", "nobody", "--", "true"), "no-such-replica"),
        (("exec", "service/sample-web", *IN, "--", "true"), "wrong-kind"),
    ):
        refused = forge.run(*arguments)
        assert refused.err.startswith(f"error[{code}]: "), (arguments, refused)
        assert refused.code


def use_its_volume(forge: Forge, image: str, tmp_path: Path) -> None:
    """A claim stays where what uses it goes, unless it is said that it goes, too; and what a cluster would need."""
    file = tmp_path / "volume.yaml"
    file.write_text(VOLUME.format(image=image))
    wrong = forge.run("apply", "-f", file, "-n", "elsewhere")
    assert wrong.err.startswith(f"error[namespace-mismatch]: {file}:"), wrong
    file.write_text(VOLUME.format(image=image).replace(", namespace: sample", ""))
    made = forge.ok("apply", "-f", file, *IN)
    assert made.out.count(" sample ") == 2, made
    assert made.err == "tolerations: without a meaning on one machine; imageforge handoff --check lists where\n"
    assert forge.ok("diff", "-f", file, *IN).out == ""
    kept = forge.ok("delete", "pod/keeper", *IN, "--yes")
    assert (kept.out, "persistentvolumeclaim/data stays with what it holds" in kept.err) == (
        "pod/keeper deleted\n",
        True,
    )
    forge.ok("apply", "-f", file, *IN)
    gone = forge.ok("delete", "pod/keeper", *IN, "--volumes", "--yes")
    assert gone.out == "pod/keeper deleted\npersistentvolumeclaim/data deleted\n"
    assert forge.run("delete", "-f", file, *IN, "--yes").err.startswith("error[not-found]: ")
    looked = forge.run("handoff", "-f", file, "--check", "-o", "json")
    fields = {row["field"]: row["level"] for row in looked.json}
    assert (looked.code, fields["spec.tolerations"], fields["spec.containers[0].image"]) == (1, "note", "change")
    assert forge.run("handoff", "-f", file).err.startswith("error[not-yet]: ")
