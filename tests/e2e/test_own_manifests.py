"""An app whose repository brings Kubernetes' own files: deployed, changed, failed, gone back from and deleted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Forge
from tests.e2e.service import write_app

pytestmark = pytest.mark.engine

DOCKERFILE = """\
ARG BASE_IMAGE=imageforge/python:3.11
FROM ${BASE_IMAGE}
COPY main.py version.txt /srv/
USER 10001
CMD ["python3", "/srv/main.py"]
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: crate}
spec:
  selector: {matchLabels: {app: crate}}
  template:
    metadata: {labels: {app: crate}}
    spec:
      containers:
      - name: web
        image: crate
        args: []
        env: [{name: PORT, value: "3000"}]
        envFrom: [{configMapRef: {name: crate-words}}]
        ports: [{name: http, containerPort: 3000}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: crate}
spec: {selector: {app: crate}, ports: [{name: http, port: 80, targetPort: http}]}
"""
COMPANION = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: crate-idle}
spec:
  replicas: 1
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      containers:
      - name: idle
        image: imageforge/python:3.11
        command: [sleep, infinity]
        volumeMounts: [{name: d, mountPath: /d}]
      volumes: [{name: d, persistentVolumeClaim: {claimName: crate-data}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: crate-data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""
EXTRA = """\
apiVersion: v1
kind: Service
metadata: {name: crate-extra}
spec: {selector: {app: idle}, ports: [{port: 1}]}
"""


def write(folder: Path, version: str, words: str, *, web: str = WEB, extra: bool = False) -> None:
    write_app(folder, version, DOCKERFILE)
    (folder / "imageforge.toml").write_text(
        'manifests = "deploy/"\n[app]\nname = "crate"\nrelease = "printenv GREETING"\n'
    )
    files = folder / "deploy"
    files.mkdir(exist_ok=True)
    (files / "web.yaml").write_text(web)
    (files / "idle.yaml").write_text(COMPANION)
    settings = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: crate-words}}\ndata: {{GREETING: {words}}}\n"
    (files / "words.yaml").write_text(settings + (f"---\n{EXTRA}" if extra else ""))


def replicas(forge: Forge, process: str) -> list[str]:
    return sorted(
        row["replica"] for row in forge.replicas("crate") if row["process"] == process and row["state"] != "Terminating"
    )


def test_a_repositorys_own_manifests_are_its_releases(forge: Forge, project: Path, tmp_path: Path) -> None:
    write(project, "one", "hello", extra=True)
    first = forge.ok("deploy", project)
    assert "web 1/1" in first.err, first.err
    assert "printenv GREETING, exit 0" in first.err, "it has the words before they are anybody's"
    assert "release" not in forge.ok("get", "configmaps").out
    assert forge.get("crate") == (200, "one hello")
    [idle] = replicas(forge, "idle")
    assert "crate-extra" in forge.ok("get", "services").out
    # What is stored is what the repository says, and a cluster could take it.
    shown = forge.ok("manifest", "crate").out
    assert "image: 127.0.0.1:" in shown
    assert "kind: PersistentVolumeClaim" in shown

    write(project, "broken", "hello", web=WEB.replace("      containers:", "    containers:"))
    refused = forge.run("deploy", project)
    assert refused.code == 3, refused
    assert refused.err.startswith("error["), refused.err
    assert "deploy/web.yaml:" in refused.err
    assert "kept: nothing was built" in refused.err

    write(project, "two", "moin")
    forge.ok("deploy", project)
    assert forge.get("crate") == (200, "two moin")
    assert replicas(forge, "idle") == [idle], "a companion is not restarted by a release"
    assert "crate-extra" not in forge.ok("get", "services").out

    write(project, "three", "bad", web=WEB.replace("args: []", 'args: ["python3", "-c", "raise SystemExit(9)"]'))
    failed = forge.run("deploy", project)
    assert failed.code == 1, failed
    assert "kept: release 2 is serving" in failed.err, failed.err
    assert forge.get("crate") == (200, "two moin")
    assert "GREETING: moin" in forge.ok("get", "configmap", "crate-words", "-o", "yaml").out

    forge.ok("scale", "crate", 2)
    fixed = forge.run("scale", "crate", "idle=2")
    assert fixed.err.startswith("error[replicas-set-by-file]: crate: its deploy/ sets spec.replicas of the Deployment")
    owned = forge.run("delete", "configmap", "crate-words", "--yes")
    assert owned.err.startswith("error[owned-by-app]: ConfigMap default/crate-words"), owned
    mine = tmp_path / "words.yaml"
    mine.write_text((project / "deploy/words.yaml").read_text().replace("bad", "mine"))
    assert forge.run("apply", "-f", mine).err.startswith("error[owned-by-app]: ConfigMap default/crate-words")
    forge.ok("env", "set", "crate", "GREETING=1e3")
    assert forge.get("crate") == (200, "two 1e3")
    assert len(replicas(forge, "web")) == 2
    assert replicas(forge, "idle") == [idle]

    forge.ok("rollback", "crate", 1)
    assert forge.get("crate") == (200, "one hello")
    assert "crate-extra" in forge.ok("get", "services").out

    deleted = forge.ok("apps", "delete", "crate", "--yes")
    assert "persistentvolumeclaim/crate-data stays with what it holds" in deleted.err, deleted
    deadline = time.monotonic() + 60
    while "crate" in (left := forge.ok("get", "deployments,services,configmaps").out):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert "crate-data" in forge.ok("get", "pvc").out, "its data stay"
    forge.ok("delete", "pvc", "crate-data", "--volumes", "--yes")


def test_what_is_somebody_elses_is_not_taken_over(forge: Forge, project: Path, tmp_path: Path) -> None:
    other = tmp_path / "words.yaml"
    other.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: crate-words}\ndata: {GREETING: mine}\n")
    forge.ok("apply", "-f", other)
    write(project, "one", "theirs")
    refused = forge.run("deploy", project)
    assert refused.code == 1, refused
    assert "error[object-taken]: ConfigMap default/crate-words: it is there already" in refused.err
    assert "GREETING: mine" in forge.ok("get", "configmap", "crate-words", "-o", "yaml").out
    assert "crate" not in forge.ok("get", "deployments,services").out
    forge.ok("delete", "-f", other, "--yes")
