"""What is said of files that go to a cluster, and what is not."""

from __future__ import annotations

import pytest

from imageforge.handoff import Level, check
from runtime import load_manifests

LOCAL = frozenset({"forge.example:8706"})
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: one{meta}}}
spec:
  {pod}
  containers: [{{name: main, image: "{image}"{container}}}]
"""
GOOD = "registry.example/team/web:1.4"


def said(text: str) -> list[tuple[Level, str, str]]:
    return [(item.level, item.field, item.what) for item in check(load_manifests(text, "a.yaml"), LOCAL)]


def pod(*, pod: str = "", image: str = GOOD, container: str = "", meta: str = "") -> str:
    return POD.format(pod=pod, image=image, container=container and f", {container}", meta=meta)


def test_nothing_is_said_of_what_a_cluster_takes_as_it_is() -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"
    from_it = "envFrom: [{configMapRef: {name: settings}}]"
    assert said(f"{pod(container=from_it)}---\n{config}") == []
    assert said(pod(pod="schedulerName: default-scheduler")) == []
    assert said(pod(pod="nodeSelector: {kubernetes.io/arch: amd64}")) == []


@pytest.mark.parametrize(
    "image",
    [
        "127.0.0.1:8705/shop@sha256:" + "a" * 64,
        "localhost:5000/shop:1",
        "registry.localhost/shop:1",
        "forge.example:8706/shop:1",
        "imageforge/hello:1.0",
        "sha256:" + "b" * 64,
    ],
)
def test_images_that_are_on_this_machine_alone(image: str) -> None:
    assert [(level, field) for level, field, _ in said(pod(image=image))] == [
        (Level.CHANGE, "spec.containers[0].image")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (pod(image="nginx"), [(Level.NOTE, "spec.containers[0].image")]),
        (pod(container="imagePullPolicy: Never"), [(Level.CHANGE, "spec.containers[0].imagePullPolicy")]),
        (
            pod(pod="volumes: [{name: v, image: {reference: 'localhost:5000/a:1', pullPolicy: Never}}]"),
            [
                (Level.CHANGE, "spec.volumes[0].image.reference"),
                (Level.CHANGE, "spec.volumes[0].image.pullPolicy"),
            ],
        ),
        (
            pod(pod="securityContext: {seccompProfile: {type: Localhost, localhostProfile: a.json}}"),
            [(Level.NEED, "spec.securityContext.seccompProfile")],
        ),
        (
            pod(container="securityContext: {appArmorProfile: {type: Localhost, localhostProfile: audit}}"),
            [(Level.NEED, "spec.containers[0].securityContext.appArmorProfile")],
        ),
        (pod(pod="volumes: [{name: v, hostPath: {path: /srv}}]"), [(Level.CHANGE, "spec.volumes[0].hostPath")]),
        (pod(pod="nodeSelector: {disk: ssd}"), [(Level.NEED, "spec.nodeSelector")]),
        (
            pod(container="securityContext: {capabilities: {add: [NET_ADMIN]}}"),
            [(Level.NEED, "spec.containers[0].securityContext")],
        ),
        (
            pod(
                pod="tolerations: [{operator: Exists}]\n  priorityClassName: high\n  runtimeClassName: kata\n"
                "  schedulerName: mine\n"
                "  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                "[{topologyKey: kubernetes.io/hostname}]}}\n"
                "  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]"
            ),
            [
                (Level.NOTE, "spec.affinity"),
                (Level.NOTE, "spec.topologySpreadConstraints"),
                (Level.NOTE, "spec.tolerations"),
                (Level.NEED, "spec.priorityClassName"),
                (Level.NEED, "spec.runtimeClassName"),
                (Level.NEED, "spec.schedulerName"),
            ],
        ),
        (pod(container="envFrom: [{secretRef: {name: keys}}]"), [(Level.NEED, "spec")]),
        (pod(pod="volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]"), [(Level.NEED, "spec")]),
        (pod(meta=", namespace: shop"), [(Level.NEED, "metadata.namespace")]),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: b}",
            [(Level.CHANGE, "stringData")],
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {imageforge.io/host: a.localhost}}\n"
            "spec: {type: NodePort, selector: {a: b}, ports: [{port: 80, name: http}]}",
            [(Level.CHANGE, "metadata.annotations.imageforge.io/host"), (Level.NEED, "spec.type")],
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
            "spec: {type: LoadBalancer, selector: {a: b}, ports: [{port: 80}]}",
            [(Level.NEED, "spec.type")],
        ),
        (
            pod(container="ports: [{containerPort: 80, hostPort: 80}]"),
            [(Level.CHANGE, "spec.containers[0].ports[0].hostPort")],
        ),
        (pod(pod="nodeName: here"), [(Level.CHANGE, "spec.nodeName")]),
        (
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {accessModes: [ReadWriteMany], "
            "storageClassName: fast, volumeAttributesClassName: gold, resources: {requests: {storage: 1Gi}}}",
            [(Level.NEED, "spec.storageClassName"), (Level.NEED, "spec.volumeAttributesClassName")],
        ),
        (
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n"
            "    - host: a.localhost\n      http: {paths: [{path: /, pathType: Prefix, "
            "backend: {service: {name: a, port: {number: 80}}}}]}",
            [(Level.NEED, "spec.ingressClassName"), (Level.CHANGE, "spec.rules[0].host")],
        ),
        (
            "apiVersion: v1\nkind: PersistentVolumeClaim\n"
            "metadata: {name: a, annotations: {imageforge.io/reclaim: Delete}}\n"
            "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
            [
                (Level.CHANGE, "metadata.annotations.imageforge.io/reclaim"),
                (Level.NEED, "spec.storageClassName"),
                (Level.NOTE, "spec.accessModes"),
            ],
        ),
        (
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n"
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  maxReplicas: 3\n  metrics:\n"
            "    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}\n"
            "    - {type: Pods, pods: {metric: {name: requests_per_second}, "
            "target: {type: AverageValue, averageValue: 10}}}",
            [(Level.NEED, "spec.metrics"), (Level.NEED, "spec.metrics")],
        ),
        (
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec:\n  schedule: '0 3 * * *'\n  jobTemplate: "
            "{spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'localhost/a:1'}]}}}}",
            [
                (Level.NOTE, "spec.timeZone"),
                (Level.CHANGE, "spec.jobTemplate.spec.template.spec.containers[0].image"),
            ],
        ),
    ],
)
def test_what_is_said(text: str, expected: list[tuple[Level, str]]) -> None:
    assert [(level, field) for level, field, _ in said(text)] == expected


def test_a_namespace_is_asked_for_once_and_not_where_a_file_makes_it() -> None:
    two = pod(meta=", namespace: shop") + "---" + pod(meta=", namespace: shop").replace("name: one", "name: two")
    assert [field for _, field, _ in said(two)] == ["metadata.namespace"]
    assert said(f"{two}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n") == []
