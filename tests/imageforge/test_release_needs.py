"""What a release command is given of an app's own manifests before anything of its release is there."""

from __future__ import annotations

from pathlib import Path

import yaml

from imageforge.pipeline.manifests import release_job
from imageforge.pipeline.own_manifests import Release, compose, read
from imageforge.pipeline.ownership import owner
from imageforge.pipeline.release_needs import with_needs
from runtime import load_manifests

DIGEST = "127.0.0.1:5000/shop@sha256:" + "a" * 64
FILES = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: web
        image: shop
        envFrom: [{configMapRef: {name: words}}, {configMapRef: {name: by-hand, optional: true}}]
        env: [{name: A, valueFrom: {configMapKeyRef: {name: words, key: A}}}]
        volumeMounts: [{name: d, mountPath: /d}, {name: w, mountPath: /w}]
      volumes:
      - {name: d, persistentVolumeClaim: {claimName: data}}
      - {name: w, projected: {sources: [{configMap: {name: words}}]}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {A: "1e3"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-nobody}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {kind: PersistentVolumeClaim, name: seed}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: seed}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def test_it_has_the_release_s_words_and_claims_and_leaves_those_that_run_theirs(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(FILES)
    manifests = compose(
        read(tmp_path, "shop.yaml", "shop").text, Release(app="shop", number=7, reference=DIGEST, deadline=40)
    )
    text = with_needs(manifests, release_job(manifests, "shop", 7, ("migrate",), 60, reference=DIGEST))
    assert len(load_manifests(text)) == 4, "the runtime takes it"
    words, *claims, job = yaml.safe_load_all(text)
    assert (words["kind"], words["metadata"]["name"], words["data"]) == (
        "ConfigMap",
        "shop-release-7-words",
        {"A": "1e3"},
    )
    assert owner(words) == "shop", "and so it goes, since no release has it"
    assert [claim["metadata"]["name"] for claim in claims] == ["data", "seed"]
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert [item["configMapRef"]["name"] for item in container["envFrom"]] == ["shop-release-7-words", "by-hand"]
    assert container["env"][0]["valueFrom"]["configMapKeyRef"]["name"] == "shop-release-7-words"
    assert pod["volumes"][1]["projected"]["sources"] == [{"configMap": {"name": "shop-release-7-words"}}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data"}
