"""The kinds that the runtime accepts, field by field, and those it knows of. To widen the subset, start here.

The known names are those of Kubernetes' apps/v1, batch/v1 and core/v1 API.
"""

from __future__ import annotations

from runtime.manifest.autoscaler import AUTOSCALER, AUTOSCALER_V1
from runtime.manifest.claim import CLAIM
from runtime.manifest.config_map import CONFIG_MAP
from runtime.manifest.ingress import INGRESS
from runtime.manifest.job_policy import JOB_POLICY
from runtime.manifest.lookup import LOOKUP
from runtime.manifest.namespace import NAMESPACE
from runtime.manifest.placement import PLACEMENT, SERVICE_PLACEMENT
from runtime.manifest.pod_resources import POD_RESOURCES
from runtime.manifest.probe import LIFECYCLE, PROBE
from runtime.manifest.resources import RESOURCES
from runtime.manifest.restart_rule import RESTART_RULES
from runtime.manifest.schema import (
    APP_PROTOCOL,
    CRON_JOB_NAME,
    DNS_LABEL,
    IMAGE,
    JOB_NAME,
    LABEL_KEY,
    LABELS,
    MOUNT_PATH,
    NAME,
    OBJECT_NAME,
    PERCENT,
    PORT,
    PORT_NUMBER,
    PORT_WORD,
    SECRET_NAME,
    SECRET_VALUES,
    SERVICE_NAME,
    WORKING_DIR,
    Flag,
    Many,
    Object,
    Shape,
    Text,
    TextMap,
    Whole,
    WholeOrText,
    metadata,
    words,
)
from runtime.manifest.secret_type import SECRET_TYPE
from runtime.manifest.security import CONTAINER_SECURITY, POD_SECURITY
from runtime.manifest.variable import ENV, ENV_FROM
from runtime.manifest.volume import MOUNTS, VOLUMES

_SERVICE_PORT_NAME = Text(pattern=DNS_LABEL, says="lower-case letters, digits and hyphens, at most 63 characters")
_APP_PROTOCOL = Text(pattern=APP_PROTOCOL, says="a protocol such as http or kubernetes.io/h2c")
_SHARE = WholeOrText(whole=Whole(), text=Text(pattern=PERCENT, says="a count or a percentage such as 25%"))
_PROTOCOL = Text(choices=("TCP",), unsupported=("UDP", "SCTP"))
_GATE = Text(pattern=LABEL_KEY, says="a name such as example.com/quota")
_FREE_LABELS = TextMap(keys=LABELS.keys, values=LABELS.values)

_RESIZE = Many(
    item=Object(
        fields={
            "resourceName": Text(choices=("cpu", "memory")),
            "restartPolicy": Text(choices=("NotRequired", "RestartContainer")),
        },
        required=("resourceName", "restartPolicy"),
    )
)
"""What becomes of a container whose resources change while it runs, which none does here."""

_CONTAINER = Object(
    fields={
        "name": NAME,
        "image": Text(pattern=IMAGE, says="an image reference without spaces"),
        "command": Many(item=Text()),
        "args": Many(item=Text()),
        "env": ENV,
        "envFrom": ENV_FROM,
        "volumeMounts": MOUNTS,
        "ports": Many(
            item=Object(
                fields={
                    "containerPort": PORT_NUMBER,
                    "name": PORT_WORD,
                    "protocol": _PROTOCOL,
                    "hostPort": PORT_NUMBER,
                },
                required=("containerPort",),
                known=words("hostIP"),
            ),
            unique="name",
        ),
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": LIFECYCLE,
        "resources": RESOURCES,
        "imagePullPolicy": Text(choices=("IfNotPresent", "Always", "Never")),
        "workingDir": Text(pattern=WORKING_DIR, says="an absolute path"),
        "stdin": Flag(),
        "tty": Flag(),
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePath": Text(pattern=MOUNT_PATH, says="an absolute path, without a colon"),
        "terminationMessagePolicy": Text(choices=("File", "FallbackToLogsOnError")),
        "resizePolicy": _RESIZE,
        "restartPolicy": Text(choices=("Always", "OnFailure", "Never")),
        "restartPolicyRules": RESTART_RULES,
    },
    required=("name", "image"),
    known=words("stdinOnce volumeDevices"),
)

_POD = Object(
    fields={
        "containers": Many(item=_CONTAINER, least=1, unique="name"),
        "initContainers": Many(item=_CONTAINER, unique="name"),
        "hostname": NAME,
        "subdomain": NAME,
        "terminationGracePeriodSeconds": Whole(),
        "restartPolicy": Text(choices=("Always",)),
        "nodeSelector": _FREE_LABELS,
        "securityContext": POD_SECURITY,
        "enableServiceLinks": Flag(),
        "imagePullSecrets": Many(item=Object(fields={"name": SECRET_NAME}, required=("name",))),
        "volumes": VOLUMES,
        "shareProcessNamespace": Flag(),
        "nodeName": SECRET_NAME,
        "serviceAccountName": Text(),
        "serviceAccount": Text(),
        "automountServiceAccountToken": Flag(),
        "hostNetwork": Flag(),
        "hostPID": Flag(),
        "hostIPC": Flag(),
        "hostUsers": Flag(),
        "resources": POD_RESOURCES,
        "schedulingGates": Many(item=Object(fields={"name": _GATE}, required=("name",)), unique="name"),
        **LOOKUP,
        **PLACEMENT,
    },
    required=("containers",),
    known=words(
        "activeDeadlineSeconds ephemeralContainers os overhead preemptionPolicy "
        "priority readinessGates resourceClaims setHostnameAsFQDN"
    ),
)

DEPLOYMENT = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(OBJECT_NAME),
        "spec": Object(
            fields={
                "replicas": Whole(high=1000),
                "selector": Object(
                    fields={"matchLabels": _FREE_LABELS}, required=("matchLabels",), known=words("matchExpressions")
                ),
                "template": Object(fields={"metadata": metadata(None), "spec": _POD}, required=("metadata", "spec")),
                "strategy": Object(
                    fields={
                        "type": Text(choices=("RollingUpdate", "Recreate")),
                        "rollingUpdate": Object(fields={"maxSurge": _SHARE, "maxUnavailable": _SHARE}),
                    }
                ),
                "minReadySeconds": Whole(),
                "progressDeadlineSeconds": Whole(),
                "revisionHistoryLimit": Whole(),
                "paused": Flag(),
            },
            required=("selector", "template"),
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)

POD = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(OBJECT_NAME),
        "spec": Object(
            fields={**_POD.fields, "restartPolicy": Text(choices=("Always", "OnFailure", "Never"))},
            required=_POD.required,
            known=_POD.known,
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)

_JOB_POD = Object(
    fields={**_POD.fields, "restartPolicy": Text(choices=("Never", "OnFailure"))},
    required=("containers", "restartPolicy"),
    known=_POD.known,
)

JOB_SPEC = Object(
    fields={
        "template": Object(fields={"metadata": metadata(None), "spec": _JOB_POD}, required=("spec",)),
        "backoffLimit": Whole(),
        "activeDeadlineSeconds": Whole(low=1),
        "ttlSecondsAfterFinished": Whole(),
        "completions": Whole(high=1000),
        "parallelism": Whole(high=1000),
        "completionMode": Text(choices=("NonIndexed", "Indexed")),
        "suspend": Flag(),
        **JOB_POLICY,
    },
    required=("template",),
    known=words("manualSelector selector"),
)

JOB = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(Text(pattern=JOB_NAME, says="lower-case letters, digits, hyphens and dots, at most 63")),
        "spec": JOB_SPEC,
    },
    required=("metadata", "spec"),
    known=words("status"),
)

CRON_JOB = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(
            Text(pattern=CRON_JOB_NAME, says="lower-case letters, digits, hyphens and dots, at most 52")
        ),
        "spec": Object(
            fields={
                "schedule": Text(),
                "timeZone": Text(),
                "startingDeadlineSeconds": Whole(),
                "concurrencyPolicy": Text(choices=("Allow", "Forbid", "Replace")),
                "suspend": Flag(),
                "successfulJobsHistoryLimit": Whole(),
                "failedJobsHistoryLimit": Whole(),
                "jobTemplate": Object(fields={"metadata": metadata(None), "spec": JOB_SPEC}, required=("spec",)),
            },
            required=("schedule", "jobTemplate"),
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)

SERVICE = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(Text(pattern=SERVICE_NAME, says="a letter, then letters, digits and hyphens, at most 63")),
        "spec": Object(
            fields={
                "selector": _FREE_LABELS,
                "ports": Many(
                    item=Object(
                        fields={
                            "port": PORT_NUMBER,
                            "targetPort": PORT,
                            "name": _SERVICE_PORT_NAME,
                            "protocol": _PROTOCOL,
                            "appProtocol": _APP_PROTOCOL,
                            "nodePort": Whole(high=32767),
                        },
                        required=("port",),
                    ),
                    least=1,
                    unique="name",
                ),
                "type": Text(choices=("ClusterIP", "NodePort", "LoadBalancer"), unsupported=("ExternalName",)),
                "clusterIP": Text(),
                "loadBalancerSourceRanges": Many(item=Text()),
                **SERVICE_PLACEMENT,
                "sessionAffinity": Text(choices=("None", "ClientIP")),
                "sessionAffinityConfig": Object(
                    fields={"clientIP": Object(fields={"timeoutSeconds": Whole(low=1, high=86400)})}
                ),
            },
            required=("selector",),
            known=words(
                "allocateLoadBalancerNodePorts clusterIPs externalIPs externalName healthCheckNodePort "
                "loadBalancerClass loadBalancerIP publishNotReadyAddresses"
            ),
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)

SECRET = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(SECRET_NAME),
        "type": SECRET_TYPE,
        "data": SECRET_VALUES,
        "stringData": SECRET_VALUES,
        "immutable": Flag(),
    },
    required=("metadata",),
)

KINDS: dict[str, tuple[str, Shape]] = {
    "ConfigMap": ("v1", CONFIG_MAP),
    "CronJob": ("batch/v1", CRON_JOB),
    "Deployment": ("apps/v1", DEPLOYMENT),
    "HorizontalPodAutoscaler": ("autoscaling/v2", AUTOSCALER),
    "Ingress": ("networking.k8s.io/v1", INGRESS),
    "Job": ("batch/v1", JOB),
    "Namespace": ("v1", NAMESPACE),
    "PersistentVolumeClaim": ("v1", CLAIM),
    "Pod": ("v1", POD),
    "Secret": ("v1", SECRET),
    "Service": ("v1", SERVICE),
}
"""kind -> (apiVersion, shape)."""

OLDER: dict[tuple[str, str], Shape] = {("HorizontalPodAutoscaler", "autoscaling/v1"): AUTOSCALER_V1}
"""(kind, apiVersion) -> shape, of versions that are read too."""

KNOWN_KINDS = words(
    "CustomResourceDefinition DaemonSet Endpoints EndpointSlice "
    "IngressClass LimitRange NetworkPolicy Node PersistentVolume "
    "PodDisruptionBudget PriorityClass ReplicaSet ReplicationController "
    "ResourceQuota Role RoleBinding ClusterRole ClusterRoleBinding ServiceAccount StatefulSet "
    "StorageClass"
)
"""Kinds of Kubernetes that the runtime has not."""
