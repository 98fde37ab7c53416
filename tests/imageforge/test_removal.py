"""What goes with an app, and what stays: what its releases brought, and nothing that only says it is a part of it."""

from __future__ import annotations

from typing import Any

import yaml

from imageforge.pipeline.manifests import Worker, Workload, generate
from imageforge.pipeline.own_manifests import Release, compose
from imageforge.pipeline.removal import claims_among, owned
from runtime import ObjectView, dump_manifests

DIGEST = "127.0.0.1:5000/shop@sha256:" + "a" * 64
OWN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: web, image: shop}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-words}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shop-data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def views(text: str) -> list[ObjectView]:
    return [
        ObjectView(
            kind=item["kind"],
            namespace="default",
            name=item["metadata"]["name"],
            generation=1,
            deleting=False,
            manifest=dump_manifests([item]),
        )
        for item in yaml.safe_load_all(text)
    ]


def by_hand() -> list[ObjectView]:
    """A database that somebody applied beside the app, with the labels that Kubernetes recommends."""
    said: dict[str, Any] = {"labels": {"app.kubernetes.io/name": "db", "app.kubernetes.io/part-of": "shop"}}
    template: dict[str, Any] = {"metadata": said, "spec": {"containers": [{"name": "db", "image": "postgres:17"}]}}
    documents: list[dict[str, Any]] = [
        {"kind": "Deployment", "metadata": {"name": "db", **said}, "spec": {"template": template}},
        {"kind": "Service", "metadata": {"name": "db", **said}},
        {"kind": "ConfigMap", "metadata": {"name": "db", **said}},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "db-data", **said}},
    ]
    return views(dump_manifests(documents))


def test_what_a_repository_brought_goes_and_what_is_beside_it_stays() -> None:
    there = [*views(compose(OWN, Release(app="shop", number=1, reference=DIGEST, deadline=40))), *by_hand()]
    assert owned(there, "shop") == (("Service", "shop"), ("Deployment", "shop"), ("ConfigMap", "shop-words"))
    assert owned(there, "shop", keep={("Service", "shop"), ("Deployment", "shop")}) == (("ConfigMap", "shop-words"),)
    assert owned(there, "db") == ()
    assert claims_among(there, "shop") == ("shop-data",)


def test_what_was_made_of_an_app_s_table_goes_too() -> None:
    made = generate(
        Workload(
            app="shop",
            release=1,
            reference=DIGEST,
            port=8000,
            replicas=1,
            health=None,
            host="shop.localhost",
            numeric_user=True,
            deadline=40,
            environment={},
            workers=(Worker(name="mail", command=("mail",), replicas=1),),
        )
    )
    there = [*views(made), *by_hand()]
    assert owned(there, "shop") == (("Service", "shop"), ("Deployment", "shop"), ("Deployment", "shop-mail"))
    assert owned(there, "shop", keep={("Service", "shop"), ("Deployment", "shop")}) == (("Deployment", "shop-mail"),)
