"""What says on which of several machines a pod is to be: read as Kubernetes reads it, and without a meaning on one."""

from __future__ import annotations

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import LABEL_KEY, LABELS, SUBDOMAIN, Many, Object, Shape, Text, TextMap, Whole
from runtime.manifest.tree import Plain

_KEY = Text(pattern=LABEL_KEY, says="a label key such as kubernetes.io/hostname")
_NAME = Text(pattern=SUBDOMAIN, says="lower-case letters, digits, hyphens and dots, at most 253 characters")
_WEIGHT = Whole(low=1, high=100)
_TEXTS = Many(item=Text())
_DEFAULT_SCHEDULER = "default-scheduler"

_REQUIREMENT = Object(
    fields={
        "key": _KEY,
        "operator": Text(choices=("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")),
        "values": _TEXTS,
    },
    required=("key", "operator"),
)
_NODE_TERM = Object(fields={"matchExpressions": Many(item=_REQUIREMENT), "matchFields": Many(item=_REQUIREMENT)})
_SELECTOR = Object(
    fields={
        "matchLabels": TextMap(keys=LABELS.keys, values=LABELS.values),
        "matchExpressions": Many(
            item=Object(
                fields={
                    "key": _KEY,
                    "operator": Text(choices=("In", "NotIn", "Exists", "DoesNotExist")),
                    "values": _TEXTS,
                },
                required=("key", "operator"),
            )
        ),
    }
)
_POD_TERM = Object(
    fields={
        "topologyKey": _KEY,
        "labelSelector": _SELECTOR,
        "namespaceSelector": _SELECTOR,
        "namespaces": _TEXTS,
        "matchLabelKeys": _TEXTS,
        "mismatchLabelKeys": _TEXTS,
    },
    required=("topologyKey",),
)
_PODS = Object(
    fields={
        "requiredDuringSchedulingIgnoredDuringExecution": Many(item=_POD_TERM),
        "preferredDuringSchedulingIgnoredDuringExecution": Many(
            item=Object(
                fields={"weight": _WEIGHT, "podAffinityTerm": _POD_TERM}, required=("weight", "podAffinityTerm")
            )
        ),
    }
)
_POLICY = Text(choices=("Honor", "Ignore"))

PLACEMENT: dict[str, Shape] = {
    "affinity": Object(
        fields={
            "nodeAffinity": Object(
                fields={
                    "requiredDuringSchedulingIgnoredDuringExecution": Object(
                        fields={"nodeSelectorTerms": Many(item=_NODE_TERM, least=1)}, required=("nodeSelectorTerms",)
                    ),
                    "preferredDuringSchedulingIgnoredDuringExecution": Many(
                        item=Object(
                            fields={"weight": _WEIGHT, "preference": _NODE_TERM}, required=("weight", "preference")
                        )
                    ),
                }
            ),
            "podAffinity": _PODS,
            "podAntiAffinity": _PODS,
        }
    ),
    "topologySpreadConstraints": Many(
        item=Object(
            fields={
                "maxSkew": Whole(low=1),
                "topologyKey": _KEY,
                "whenUnsatisfiable": Text(choices=("DoNotSchedule", "ScheduleAnyway")),
                "labelSelector": _SELECTOR,
                "minDomains": Whole(low=1),
                "nodeAffinityPolicy": _POLICY,
                "nodeTaintsPolicy": _POLICY,
                "matchLabelKeys": _TEXTS,
            },
            required=("maxSkew", "topologyKey", "whenUnsatisfiable"),
        )
    ),
    "tolerations": Many(
        item=Object(
            fields={
                "key": _KEY,
                "operator": Text(choices=("Exists", "Equal", "Gt", "Lt")),
                "value": LABELS.values,
                "effect": Text(choices=("NoSchedule", "PreferNoSchedule", "NoExecute")),
                "tolerationSeconds": Whole(low=-(2**31)),
            }
        )
    ),
    "schedulerName": _NAME,
    "priorityClassName": _NAME,
    "runtimeClassName": _NAME,
}
"""The fields of a pod."""

_ONE_FAMILY = "the machine's networks have IPv4 addresses; take it out, and it has one of these"
SERVICE_PLACEMENT: dict[str, Shape] = {
    "externalTrafficPolicy": Text(
        choices=("Cluster",), unsupported=("Local",), hint="the balancer stands between: look at X-Forwarded-For"
    ),
    "internalTrafficPolicy": Text(choices=("Cluster", "Local")),
    "trafficDistribution": Text(choices=("PreferClose", "PreferSameZone", "PreferSameNode")),
    "ipFamilyPolicy": Text(
        choices=("SingleStack", "PreferDualStack"), unsupported=("RequireDualStack",), hint=_ONE_FAMILY
    ),
    "ipFamilies": Many(item=Text(choices=("IPv4",), unsupported=("IPv6",), hint=_ONE_FAMILY)),
}
"""Those of a Service that choose between nodes or families of addresses: of each there is one here, so all that is
accepted is so in any case."""


def placement(pod: Cursor) -> dict[str, Plain]:
    """What a pod says of this, by field, as it was written. Kubernetes' own default scheduler is none."""
    said = {name: pod.get(name).node for name in PLACEMENT}
    return {
        name: node.plain()
        for name, node in said.items()
        if not node.says_nothing and node.value not in ("", _DEFAULT_SCHEDULER)
    }
