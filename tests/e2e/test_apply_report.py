"""The report of an applied Deployment: the proof of its cut-over under load, one that passes and one that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageforge.config import Home
from imageforge.pipeline.rolled import record_of, report_of
from imageforge.report.rollout import RolloutReport
from runtime import ControllerClient
from tests.e2e.conftest import Forge
from tests.e2e.service import APP, DOCKERFILE
from tests.e2e.test_spine import Load
from tests.runtime.stack import wait_for

pytestmark = pytest.mark.engine

DROPPING = APP.replace("signal.signal(", "print('ready to serve', flush=True)\nsignal.signal(", 1).replace(
    "    def do_GET(self):\n",
    "    def do_GET(self):\n"
    "        if os.environ.get('DROP') and self.path != '/ready':\n"
    "            self.close_connection = True\n"
    "            return\n",
)
"""It is ready, and closes the connection of whoever asks for anything else."""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: shown}}
spec:
  replicas: 2
  progressDeadlineSeconds: {deadline}
  selector: {{matchLabels: {{app: shown}}}}
  template:
    metadata: {{labels: {{app: shown}}}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
        - name: web
          image: "{image}"
          env: [{{name: PORT, value: "8080"}}, {{name: GREETING, value: "{greeting}"}}{more}]
          ports: [{{containerPort: 8080, name: http}}]
          readinessProbe: {{httpGet: {{path: /ready, port: {port}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: shown, annotations: {{imageforge.io/host: shown.localhost}}}}
spec:
  selector: {{app: shown}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"""
NAME = "deployment/shown"


def test_an_apply_under_load_is_proved_and_one_that_loses_requests_fails(forge: Forge, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.py").write_text(DROPPING)
    (folder / "version.txt").write_text("one")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    image = forge.ok("build", folder).out.split()[0]
    file = tmp_path / "shown.yaml"

    def write(greeting: str, more: str = "", port: str = "http", deadline: int = 600) -> None:
        file.write_text(MANIFEST.format(image=image, greeting=greeting, more=more, port=port, deadline=deadline))

    controller = ControllerClient(Home(forge.home).controller_socket)

    def kept(revision: int | None = None) -> RolloutReport:
        return report_of(record_of(controller, "default", "shown", revision))

    write("hush-one")
    first = forge.ok("apply", "-f", file, "--wait")
    assert "cutover  passed: 0 of " in first.out
    load = Load(forge, "shown", connections=4, per_second=100)
    load.start()
    load.wait_for(50)
    try:
        write("hush-two")
        second = forge.ok("apply", "-f", file, "--wait", "-o", "json").json
        markdown = forge.ok("report", NAME, "-o", "markdown").out
    finally:
        load.stop()
    assert load.failed == 0, load.failures[:5]
    assert [row["change"] for row in second["objects"]] == ["configured", "unchanged"]
    (told,) = second["rollouts"]
    assert (told["outcome"], told["proof"]["verdict"], told["revision"]) == ("complete", "passed", 2)
    assert [(row["field"], row["after"]) for row in told["changes"]] == [("env GREETING", "changed")]
    (traffic,) = told["traffic"]
    assert (traffic["service"], traffic["failed"]) == ("shown", 0)
    assert traffic["requests"] > told["own"]["sent"] > 0, "everybody's requests are counted, and not ours alone"
    assert all(told["own"][when]["count"] for when in ("before", "during", "after"))
    steps = [step["seconds"] for step in told["steps"]]
    assert None not in steps
    assert steps == sorted(steps)
    assert [row["ready"] for row in told["replicas"]] == [True, True]
    assert json.loads(json.dumps(kept().as_json())) == told, "what was printed is what was kept"
    assert markdown.startswith("### deployment/shown: revision 2, complete in ")
    assert "<details><summary>" in markdown

    write("hush-three", ', {name: DROP, value: "1"}')
    losing = Load(forge, "shown", connections=2, per_second=50)
    losing.start()
    try:
        failed = forge.run("apply", "-f", file, "--wait")
    finally:
        losing.stop()
    assert (failed.code, losing.failed > 0) == (1, True)
    assert failed.err.splitlines()[-3].startswith("error[cutover-lost-requests]: Deployment default/shown: "), (
        failed.err
    )
    assert "cutover  failed: " in failed.out
    assert forge.ok("report", NAME, "-o", "json").json["proof"]["verdict"] == "failed"

    # Nobody waits for this one, and it has its record all the same.
    forge.ok("rollout", "undo", NAME, "--to-revision", "2")
    wait_for(lambda: (kept().outcome, kept().revision) == ("complete", 4), timeout=60)
    assert kept().own is None
    assert kept(3).proof.verdict == "failed"

    write("hush-two", port="9", deadline=3)
    stalled = forge.run("apply", "-f", file, "--wait")
    assert stalled.code == 1
    assert "error[rollout-stalled]: Deployment default/shown: no progress for 3 s" in stalled.err
    assert "kept: 2 of the replicas before go on serving" in stalled.err
    assert f"{NAME}: revision 5, stalled" in stalled.out
    assert "\nlog      ready to serve\n" in stalled.out
    assert "hush" not in first.out + failed.out + stalled.out + markdown + str(told)
    forge.ok("delete", "-f", file, "--yes")
    missing = forge.run("report", NAME)
    assert missing.err.startswith("error[not-found]: Deployment default/shown")
