"""What an app's manifests may take: their own, and what is no app's, and nothing of another app's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imageforge.pipeline.manifests import secret_manifest
from imageforge.pipeline.own_manifests import Release, compose
from imageforge.pipeline.ownership import refuse_other_selectors, refuse_taken
from imageforge.pipeline.references import references
from runtime import Conflict, ObjectView, load_manifests

DIGEST = "127.0.0.1:5000/bank@sha256:" + "a" * 64
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(app)s}
spec:
  selector: {matchLabels: {app: %(app)s}}
  template:
    metadata: {labels: {app: %(app)s}}
    spec:
      %(pod)s
      containers:
      - {name: web, image: %(app)s%(more)s}
"""
BANK = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: bank-words}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: bank-data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mine}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  %s: {kind: PersistentVolumeClaim, name: bank-data}
"""


def pod(pod: str = "", more: str = "") -> str:
    return DEPLOYMENT % {"app": "shop", "pod": pod, "more": more}


SECRET, WORDS, DATA = ("Secret", "bank-1"), ("ConfigMap", "bank-words"), ("PersistentVolumeClaim", "bank-data")
TAKES: dict[str, tuple[str, tuple[str, str]]] = {
    "a variable": (pod(more=", env: [{name: A, valueFrom: {secretKeyRef: {name: bank-1, key: K}}}]"), SECRET),
    "one that need not be": (
        pod(more=", env: [{name: A, valueFrom: {configMapKeyRef: {name: bank-words, key: K, optional: true}}}]"),
        WORDS,
    ),
    "all variables": (pod(more=", envFrom: [{secretRef: {name: bank-1}}]"), SECRET),
    "all words": (pod(more=", envFrom: [{configMapRef: {name: bank-words}}]"), WORDS),
    "files": (pod("volumes: [{name: v, secret: {secretName: bank-1}}]"), SECRET),
    "files of words": (pod("volumes: [{name: v, configMap: {name: bank-words}}]"), WORDS),
    "files among others": (pod("volumes: [{name: v, projected: {sources: [{secret: {name: bank-1}}]}}]"), SECRET),
    "a login": (pod("imagePullSecrets: [{name: bank-1}]"), SECRET),
    "data": (pod("volumes: [{name: v, persistentVolumeClaim: {claimName: bank-data}}]"), DATA),
    "before the others": (
        pod("initContainers: [{name: first, image: shop, envFrom: [{secretRef: {name: bank-1}}]}]"),
        SECRET,
    ),
    "at times": (
        """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          volumes: [{name: v, persistentVolumeClaim: {claimName: bank-data}}]
          containers: [{name: c, image: shop}]
""",
        DATA,
    ),
    "a copy": (CLAIM % "dataSource", DATA),
    "a copy, by the other field": (CLAIM % "dataSourceRef", DATA),
    "a size": (
        """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: more}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: bank}
  maxReplicas: 9
""",
        ("Deployment", "bank"),
    ),
    "a certificate": (
        """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: way}
spec:
  tls: [{hosts: [a.example.com], secretName: bank-1}]
  rules:
  - host: a.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
""",
        SECRET,
    ),
}


def views(text: str) -> list[ObjectView]:
    found: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    return [
        ObjectView(
            kind=item["kind"],
            namespace="default",
            name=item["metadata"]["name"],
            generation=1,
            deleting=False,
            manifest=yaml.safe_dump(item),
        )
        for item in found
    ]


def bank() -> list[ObjectView]:
    own = DEPLOYMENT % {"app": "bank", "pod": "", "more": ""} + BANK
    made = compose(own, Release(app="bank", number=1, reference=DIGEST, deadline=40))
    return [*views(made), *views(secret_manifest("bank", "bank-1", {"K": "v"}, masked=True))]


@pytest.mark.parametrize("case", TAKES)
def test_what_belongs_to_another_app_is_not_taken(case: str) -> None:
    text, key = TAKES[case]
    (document,) = load_manifests(text)
    assert key in references(document.data), "it is what the runtime takes"
    with pytest.raises(Conflict) as caught:
        refuse_taken(bank(), "shop", "default", text)
    assert caught.value.code == "object-taken"
    assert f"it takes the {key[0]} {key[1]}, which belongs to the app bank" in str(caught.value)
    refuse_taken(bank(), "bank", "default", text)


def test_what_is_no_apps_is_there_for_all() -> None:
    by_hand = views(
        "kind: Secret\nmetadata: {name: bank-1}\n---\nkind: PersistentVolumeClaim\n"
        "metadata: {name: bank-data, labels: {app.kubernetes.io/part-of: bank}}\n"
    )
    for text, _ in TAKES.values():
        refuse_taken(by_hand, "shop", "default", text)


def test_a_deployment_keeps_its_selector() -> None:
    """An app that has [app] has another one than its own files would have at first."""
    live = DEPLOYMENT % {"app": "bank", "pod": "", "more": ""} + BANK
    refuse_other_selectors(live, "bank", "default", live)
    with pytest.raises(Conflict) as caught:
        refuse_other_selectors(live, "bank", "default", live.replace("app: bank", "name: bank"))
    assert caught.value.code == "selector-changed"
    assert "that of the one that runs is app: bank" in str(caught.value)
    assert caught.value.kept == "nothing was released"
    other = DEPLOYMENT % {"app": "bank-worker", "pod": "", "more": ""}
    refuse_other_selectors(live, "bank", "default", other)


def test_a_claim_of_another_app_is_not_taken_over() -> None:
    mine = (CLAIM % "dataSource").replace("name: mine", "name: bank-data")
    with pytest.raises(Conflict, match="it belongs to the app bank"):
        refuse_taken(bank(), "shop", "default", mine.split("  dataSource")[0])
